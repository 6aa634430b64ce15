package e2e

import (
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// What a commit can get wrong.
func TestBadContentStallsItsStackAndTouchesNothing(t *testing.T) {
	t.Parallel()
	s := openSite(t, "content", testbed.Run{})
	name := s.shop.Name
	for _, c := range []struct {
		name, content string
		says          []string
	}{
		{"a file that is not YAML", "name: " + name + "\nservices: [web\n", []string{"compose.yaml"}},
		{"an x-davit key that does not exist", s.compose(s.image.Ref) + "x-davit: {rolback: none}\n", []string{"compose.yaml", "rolback"}},
		{"a variable that nobody sets", s.compose("${NOBODY:?tell me}"), []string{"NOBODY", "tell me"}},
		{"services that wait for each other", "name: " + name + `
services:
  one: {image: "` + s.image.Ref + `", depends_on: [two]}
  two: {image: "` + s.image.Ref + `", depends_on: [one]}
`, []string{"cycle", "one", "two"}},
	} {
		t.Run(c.name+" stalls the stack, which runs on", func(t *testing.T) {
			unharmed, from := untouched(t, s.shop), mark(t, s.agent)
			s.push(c.content)
			if st := s.stands("stalled", c.says...); st.Health != "healthy" {
				t.Errorf("health = %s, want healthy: what runs is well", st.Health)
			}
			tells(t, s.agent, from, "Stalled", c.says...)
			unwell(t, s.agent)
			answer := s.agent.CLI("validate", "--dir", s.repo.Dir)
			if said := answer.Stdout + answer.Stderr; answer.Code != 1 || !saysAll(said, c.says) {
				t.Errorf("davit validate: exit code %d, want 1 and %q in:\n%s", answer.Code, c.says, said)
			}
			unharmed()
			s.recovers()
		})
	}
}

func TestContentThatMustBeWaitedForIsDeployedOnceItCanBe(t *testing.T) {
	t.Parallel()
	s := openSite(t, "images", testbed.Run{})
	login := newLogin(t, s)

	t.Run("an image that is not pushed yet is waited for, and deployed when it is", func(t *testing.T) {
		unharmed, from := untouched(t, s.shop), mark(t, s.agent)
		commit := s.push(s.compose(s.bed.Ref("web:2")))
		s.stands("waiting", s.bed.Ref("web:2"), "does not exist yet")
		tells(t, s.agent, from, "Waiting", "web:2")
		unwell(t, s.agent)
		unharmed()
		s.image = s.bed.Push("web:2", nimble("2"))
		s.deployed(commit)
		if c := s.shop.Only("web"); !s.image.Is(c.ImageID) {
			t.Errorf("image of %s = %s, want %s", c.Name, c.ImageID, s.image.ID)
		}
	})

	t.Run("a registry that is down is waited for, and what was held up is deployed", func(t *testing.T) {
		unharmed, from := untouched(t, s.shop), mark(t, s.agent)
		s.bed.Registry.Stop()
		s.image = s.bed.Push("web:3", nimble("3"))
		commit := s.push(s.compose(s.image.Ref))
		s.stands("waiting", s.image.Ref, "does not answer")
		tells(t, s.agent, from, "Waiting", "registry")
		unharmed()
		s.bed.Registry.Start()
		s.deployed(commit)
		s.recovers()
	})

	t.Run("a registry that refuses the credentials is waited for, with a hint", func(t *testing.T) {
		unharmed, from := untouched(t, s.shop), mark(t, s.agent)
		s.bed.Registry.RequirePassword("ada", "right")
		login.write("ada", "wrong")
		s.image = s.bed.Push("web:4", nimble("4"))
		commit := s.push(s.compose(s.image.Ref))
		st := s.stands("waiting", s.image.Ref, "docker login")
		if strings.Contains(st.LastError+s.agent.Log(), "wrong\"") {
			t.Errorf("the password is told: %s", st.LastError)
		}
		tells(t, s.agent, from, "Waiting", "denied")
		unharmed()
		login.write("ada", "right")
		s.deployed(commit)
		s.recovers()
	})
}
