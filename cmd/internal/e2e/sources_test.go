package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// company is an agent that follows several repositories.
type company struct {
	*testing.T
	bed   *testbed.Bed
	agent *testbed.Agent
}

func sourcesFile(t *testing.T, repositories map[string]string) string {
	t.Helper()
	text := "sources:\n"
	for name, url := range repositories {
		text += fmt.Sprintf("  - {name: %s, repo: %q, branch: main, interval: 1s}\n", name, url)
	}
	file := filepath.Join(t.TempDir(), "davit.yaml")
	keep(t, file, text)
	return file
}

// single is the compose file of a stack with one service.
func single(stack string, image testbed.Image, settings ...string) string {
	text := "name: " + stack + "\nservices:\n" + service("web", image, "x-davit: {stable_for: 0s, monitor: 0s}")
	if len(settings) > 0 {
		text += "x-davit: {" + strings.Join(settings, ", ") + "}\n"
	}
	return text
}

// runs waits until a stack runs this image, synced and healthy.
func (c *company) runs(s *testbed.Stack, image testbed.Image) testbed.Container {
	c.Helper()
	await(c.T, s.Name+" on "+image.Ref, func() (bool, string) {
		running := s.Running("web")
		return len(running) == 1 && image.Is(running[0].ImageID) && running[0].Ready(), fmt.Sprint(running)
	})
	c.agent.WaitSync(s.Name, "synced")
	return s.Only("web")
}

// silence accepts connections and says nothing.
func silence(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String() + "/silent.git"
}

func TestRepositoriesAreFollowedEachByItself(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	a, b := bed.Repo("a"), bed.Repo("b")
	c := &company{T: t, bed: bed}
	c.agent = bed.NewAgent(testbed.Run{Args: []string{"--config", sourcesFile(t, map[string]string{"a": a.URL, "b": b.URL, "stuck": silence(t)})}})
	shop, till := bed.Stack("shop"), bed.Stack("till")
	one, two := bed.Push("web:1", nimble("1")), bed.Push("web:2", nimble("2"))
	a.Release("", map[string]string{"shop/compose.yaml": single(shop.Name, one)})
	b.Release("", map[string]string{"till/compose.yaml": single(till.Name, one)})
	c.agent.Start()
	first := c.runs(shop, one)
	c.runs(till, one)

	t.Run("status shows every source", func(t *testing.T) {
		var status struct {
			Sources []struct {
				Name      string     `json:"name"`
				LastFetch *time.Time `json:"last_fetch"`
			} `json:"sources"`
			Stacks []struct{ Name, Source string } `json:"stacks"`
		}
		answer := c.agent.CLI("status", "-o", "json")
		if err := json.Unmarshal([]byte(answer.Stdout), &status); err != nil {
			t.Fatalf("%v in %s%s", err, answer.Stdout, answer.Stderr)
		}
		read := map[string]bool{}
		for _, s := range status.Sources {
			read[s.Name] = s.LastFetch != nil
		}
		if len(read) != 3 || !read["a"] || !read["b"] || read["stuck"] {
			t.Errorf("sources that were read: %v", read)
		}
		of := map[string]string{}
		for _, s := range status.Stacks {
			of[s.Name] = s.Source
		}
		if of[shop.Name] != "a" || of[till.Name] != "b" {
			t.Errorf("stacks by source: %v", of)
		}
	})

	t.Run("a name that another source has stops only the newcomer", func(t *testing.T) {
		from := mark(t, c.agent)
		b.Release("", map[string]string{"till/compose.yaml": single(till.Name, two), "thief/compose.yaml": single(shop.Name, two)})
		c.agent.Signal(syscall.SIGHUP)
		c.runs(till, two)
		tells(t, c.agent, from, "Stalled", shop.Name, `"a" (shop/compose.yaml)`, `"b" (thief/compose.yaml)`)
		if now := shop.Only("web"); now.ID != first.ID {
			t.Errorf("%s was replaced by %s", first.Name, now.Name)
		}
		if answer := c.agent.CLI("status", "--check"); answer.Code != 1 {
			t.Errorf("status --check ends with %d beside a refused stack:\n%s", answer.Code, answer.Stdout)
		}
	})

	t.Run("so does a restart", func(t *testing.T) {
		c.agent.Kill()
		b.Release("", map[string]string{"till/compose.yaml": single(till.Name, one)})
		c.agent.Start()
		c.runs(till, one)
		if now := shop.Only("web"); now.ID != first.ID {
			t.Errorf("%s was replaced by %s", first.Name, now.Name)
		}
	})

	t.Run("apply of one stack waits for its own source alone", func(t *testing.T) {
		if answer := c.agent.CLI("apply", till.Name, "--timeout", "60s"); answer.Code != 0 {
			t.Errorf("exit code %d: %s%s", answer.Code, answer.Stdout, answer.Stderr)
		}
	})

	t.Run("stacks of a source that is taken out are orphans", func(t *testing.T) {
		c.agent.Stop()
		file := sourcesFile(t, map[string]string{"b": b.URL, "c": a.URL})
		b.Remove("thief")
		b.Commit("give the name back")
		b.Push()
		a.Remove("shop")
		a.Commit("empty")
		a.Push()
		c.agent.Args[slices.Index(c.agent.Args, "--config")+1] = file
		c.agent.Start()
		c.agent.WaitSync(shop.Name, "orphaned")
		if now := shop.Only("web"); now.ID != first.ID {
			t.Errorf("%s was replaced by %s", first.Name, now.Name)
		}
	})
}

func TestStacksWaitForOneAnother(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	repo := bed.Repo("ops")
	c := &company{T: t, bed: bed, agent: bed.NewAgent(testbed.Run{Repo: repo.URL})}
	shop, database, till := bed.Stack("ashop"), bed.Stack("database"), bed.Stack("till")
	slow := nimble("1")
	slow.HealthyAfter = 3 * time.Second
	one, two := bed.Push("web:1", nimble("1")), bed.Push("web:2", nimble("2"))
	db := bed.Push("db:1", slow)
	// Not one that merely ends soon: without a health check and without a time to be
	// stable for, running for an instant is all that the gate asks.
	bad := bed.Push("db:2", testbed.App{Version: "2", Env: map[string]string{"HEALTH": "never"}})
	list := func(stacks ...*testbed.Stack) string {
		text := "stacks:\n"
		for _, s := range stacks {
			text += "  - name: " + s.Name + "\n    directory: " + strings.Split(s.Name, "-")[0] + "\n"
			if s == shop {
				text += "    depends_on: [" + database.Name + "]\n"
			}
		}
		return text
	}
	compose := func(s *testbed.Stack, image testbed.Image) string { return single(s.Name, image) }
	repo.Release("", map[string]string{
		"davit.yaml": list(shop, database, till), "ashop/compose.yaml": compose(shop, one), "database/compose.yaml": compose(database, db),
		"till/compose.yaml": compose(till, one), "unlisted/compose.yaml": "services: {x: {image: none}}\n",
	})
	c.agent.Start()
	before := c.runs(shop, one)
	c.runs(database, db)
	c.runs(till, one)

	t.Run("a stack begins when the one before it is healthy", func(t *testing.T) {
		ready := tells(t, c.agent, 0, "ReleaseSucceeded", "release #1")
		for _, e := range events(t, c.agent, 0) {
			if e.Kind == "ReleaseSucceeded" && e.Stack == database.Name {
				ready = e
			}
		}
		for _, e := range events(t, c.agent, 0) {
			if e.Kind == "ReleaseStarted" && e.Stack == shop.Name && e.ID < ready.ID {
				t.Errorf("%s began with event %d, %s was ready with %d", shop.Name, e.ID, database.Name, ready.ID)
			}
		}
	})

	t.Run("one that fails stops only those that wait for it", func(t *testing.T) {
		repo.Release("", map[string]string{
			"ashop/compose.yaml": compose(shop, two), "database/compose.yaml": compose(database, bad), "till/compose.yaml": compose(till, two),
		})
		c.agent.Signal(syscall.SIGHUP)
		c.runs(till, two)
		c.agent.WaitSync(database.Name, "held")
		s := c.agent.WaitSync(shop.Name, "waiting")
		if !strings.Contains(s.WaitingFor, database.Name) {
			t.Errorf("it waits for %q", s.WaitingFor)
		}
		if now := shop.Only("web"); now.ID != before.ID {
			t.Errorf("%s was replaced by %s", before.Name, now.Name)
		}
		repo.Release("", map[string]string{"database/compose.yaml": compose(database, db)})
		c.agent.Signal(syscall.SIGHUP)
		c.runs(shop, two)
	})

	t.Run("what is declared removed is taken down", func(t *testing.T) {
		repo.Release("", map[string]string{"davit.yaml": list(shop, database) + "removed: [" + till.Name + "]\n"})
		c.agent.Signal(syscall.SIGHUP)
		await(t, "an end of "+till.Name, func() (bool, string) {
			left := till.Containers()
			return len(left) == 0, fmt.Sprint(left)
		})
		tells(t, c.agent, 0, "StackRemoved", "as the repository declares")
	})

	t.Run("a mistake in the list stops nothing", func(t *testing.T) {
		from := mark(t, c.agent)
		repo.Release("", map[string]string{"davit.yaml": "stacks: [{nam: x}]\n"})
		c.agent.Signal(syscall.SIGHUP)
		tells(t, c.agent, from, "SourceFailed", "davit.yaml:1: stacks[0].nam: unknown key")
		c.agent.WaitSync(shop.Name, "synced")
	})
}

func TestAnImageThatManyStacksWantIsPulledOnce(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	repo := bed.Repo("many")
	c := &company{T: t, bed: bed, agent: bed.NewAgent(testbed.Run{Repo: repo.URL})}
	var stacks []*testbed.Stack
	for i := range 7 {
		stacks = append(stacks, bed.Stack(fmt.Sprintf("many%d", i)))
	}
	deploy := func(image testbed.Image, stacks ...*testbed.Stack) int {
		before := bed.Registry.Requests()
		files := map[string]string{}
		for _, s := range stacks {
			files[s.Name+"/compose.yaml"] = single(s.Name, image)
		}
		repo.Release("", files)
		if c.agent.Running() {
			c.agent.Signal(syscall.SIGHUP)
		} else {
			c.agent.Start()
		}
		for _, s := range stacks {
			c.runs(s, image)
		}
		return bed.Registry.Requests() - before
	}
	// The first also fetches the layer that all images have in common.
	deploy(bed.Push("web:1", nimble("1")), stacks[0])
	alone := deploy(bed.Push("web:2", nimble("2")), stacks[0])
	if together := deploy(bed.Push("web:3", nimble("3")), stacks[1:]...); together >= 2*alone {
		t.Errorf("%d stacks asked the registry %d times, one alone %d times", len(stacks)-1, together, alone)
	}
}
