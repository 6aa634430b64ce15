package e2e

import (
	"strings"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

func TestASecondDavitLeavesTheFirstOnesStacksAlone(t *testing.T) {
	t.Parallel()
	s := openSite(t, "owned", testbed.Run{})
	proxy := s.bed.Proxy()
	second := s.bed.NewAgent(testbed.Run{Repo: s.repo.URL, Engine: proxy.Host})
	second.Patience = 2 * time.Minute
	unharmed := untouched(t, s.shop)
	second.Start()
	second.WaitStatus(s.shop.Name, "the stack to be another's", func(st testbed.Status) bool {
		return st.Sync == "unadopted" && strings.Contains(st.WaitingFor, "belong to another davit, instance")
	})
	tells(t, second, 0, "Unadopted", "another davit")
	unwell(t, second)
	unharmed()
	commit := s.edit()
	s.poll()
	s.deployed(commit)
	second.WaitStatus(s.shop.Name, "the same about the new containers", func(st testbed.Status) bool { return st.Sync == "unadopted" })
	if changed := proxy.Mutations(); len(changed) > 0 {
		t.Errorf("the second davit changed things: %v", changed)
	}
	s.recovers()
}

func TestAComposeProjectThatDavitDidNotMakeIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "foreign", testbed.Run{})
	s.image = s.bed.Load("web:1", nimble("1"))
	id, err := s.bed.Engine.Run(t.Context(), testbed.Task{
		Name: s.shop.Name + "-web-1", Image: s.image.Ref, Label: s.bed.Name, Network: "bridge",
		Labels: map[string]string{
			"com.docker.compose.project": s.shop.Name, "com.docker.compose.service": "web",
			"com.docker.compose.container-number": "1", "com.docker.compose.oneoff": "False",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	unharmed := untouched(t, s.shop)
	s.edit()
	s.agent.Start()
	s.stands("unadopted", "not made by davit")
	tells(t, s.agent, 0, "Unadopted", "not made by davit")
	unwell(t, s.agent)
	s.edit()
	s.poll()
	tells(t, s.agent, 0, "NewRevision", s.repo.Head()[:7])
	s.stands("unadopted")
	unharmed()
	if err := s.bed.Engine.RemoveContainer(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	s.recovers()
}

// volumeFile is a stack whose service writes to a named volume.
func volumeFile(name string, image testbed.Image) string {
	if name != "" {
		name = "name: " + name + "\n"
	}
	return name + `
services:
  web:
    image: ` + image.Ref + `
    environment: {DATA: /data}
    volumes: ["data:/data"]
    x-davit: {monitor: 0s}
volumes: {data: {}}
`
}

func TestAStackThatLeavesTheRepositoryRunsOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "orphan", testbed.Run{})
	stay := s.bed.Stack("stay")
	s.repo.Release("", map[string]string{
		"gone/compose.yaml": volumeFile(s.shop.Name, s.image),
		"stay/compose.yaml": volumeFile(stay.Name, s.image),
	})
	s.agent.Start()
	s.deployed(s.repo.Head())
	unharmed := untouched(t, s.shop)
	volume := s.shop.Only("web").Volumes["/data"]

	s.repo.Remove("gone")
	s.repo.Release("", nil)
	s.poll()
	if st := s.stands("orphaned", "davit remove"); st.Health != "healthy" {
		t.Errorf("health = %s, want healthy", st.Health)
	}
	tells(t, s.agent, 0, "Orphaned", "runs on")
	unwell(t, s.agent)
	unharmed()
	if refused := s.agent.CLI("remove", stay.Name, "--yes"); refused.Code != 1 || !strings.Contains(refused.Stderr, "declares it") {
		t.Errorf("davit remove of a declared stack: exit code %d, want 1: %s", refused.Code, refused.Stderr)
	}
	if refused := s.agent.CLI("remove", s.shop.Name); refused.Code != 1 || !strings.Contains(refused.Stderr, "--yes") {
		t.Errorf("davit remove without a terminal: exit code %d, want 1 and a hint: %s", refused.Code, refused.Stderr)
	}
	unharmed()
	if removed := s.agent.CLI("remove", s.shop.Name, "--yes"); removed.Code != 0 {
		t.Fatalf("davit remove: exit code %d: %s", removed.Code, removed.Stderr)
	}
	tells(t, s.agent, 0, "StackRemoved", "volumes")
	if left := s.shop.Containers(); len(left) > 0 {
		t.Errorf("containers are left: %v", left)
	}

	// Declared again, it finds its data.
	s.repo.Release("", map[string]string{"gone/compose.yaml": volumeFile(s.shop.Name, s.image)})
	s.poll()
	s.deployed(s.repo.Head())
	again := s.shop.Only("web")
	if again.Volumes["/data"] != volume {
		t.Errorf("volume = %s, want %s", again.Volumes["/data"], volume)
	}
	journal, err := s.bed.Engine.ReadFile(t.Context(), again.ID, "/data/log")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(journal, "start "); n != 2 {
		t.Errorf("%d writers are on record in the volume, want 2:\n%.500s", n, journal)
	}
}

func TestADirectoryThatIsRenamedIsAnotherStack(t *testing.T) {
	t.Parallel()
	s := newSite(t, "renamed", testbed.Run{})
	other := s.bed.Stack("other")
	s.repo.Release("", map[string]string{s.shop.Name + "/compose.yaml": volumeFile("", s.image)})
	s.agent.Start()
	s.deployed(s.repo.Head())
	unharmed := untouched(t, s.shop)

	s.repo.Rename(s.shop.Name, other.Name)
	commit := s.repo.Release("", nil)
	s.poll()
	s.agent.WaitStatus(other.Name, "the new name", func(st testbed.Status) bool {
		return st.Sync == "synced" && st.Health == "healthy" && strings.HasSuffix(st.Revision, commit)
	})
	s.stands("orphaned")
	tells(t, s.agent, 0, "Orphaned")
	unharmed()
	if old, new := s.shop.Only("web").Volumes["/data"], other.Only("web").Volumes["/data"]; old == new {
		t.Errorf("both stacks write to volume %s", old)
	}
}
