package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"davit/cmd/internal/testbed"
)

// What a repository and its server can do to those who follow it.
func TestASourceInTroubleStopsNothing(t *testing.T) {
	t.Parallel()
	password := filepath.Join(t.TempDir(), "password")
	keep(t, password, "right")
	s := openSite(t, "source", testbed.Run{Args: []string{"--branch", "main", "--username", "ada", "--password-file", password}})
	s.repo.Branch("other")
	s.repo.Push()
	s.repo.Branch("main")

	for _, c := range []struct {
		name       string
		begin, end func()
		says       []string
	}{
		{"a repository that is gone", s.repo.Hide, s.repo.Show, []string{"repository not found", "check the address"}},
		{"a Git server that is down", s.bed.Git.Stop, s.bed.Git.Start, []string{"connection refused"}},
		{"a Git server that refuses the password", func() {
			s.bed.Git.RequirePassword("ada", "right")
			keep(t, password, "stale")
		}, func() { keep(t, password, "right") }, []string{"access denied", "password is still valid"}},
		{"a branch that is deleted", func() { s.repo.DeleteBranch("main") }, s.repo.Push, []string{"branch", "main", "does not exist"}},
	} {
		t.Run(c.name+" is reported, and drift is healed meanwhile", func(t *testing.T) {
			unharmed, from := untouched(t, s.shop), mark(t, s.agent)
			c.begin()
			s.poll()
			s.stands("synced", c.says...)
			tells(t, s.agent, from, "SourceFailed", c.says...)
			unharmed()
			s.heals()
			c.end()
			s.poll()
			tells(t, s.agent, from, "SourceRecovered")
			s.recovers()
		})
	}
}

// heals removes the container by hand and waits for another.
func (s *site) heals() {
	s.t.Helper()
	lost := s.shop.Only("web")
	if err := s.bed.Engine.Drop(s.t.Context(), lost.ID); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, "another container for "+lost.Name, func() (bool, string) {
		running := s.shop.Running("web")
		return len(running) == 1 && running[0].Ready(), ""
	})
}

func TestHistoryThatIsRewrittenIsFollowed(t *testing.T) {
	t.Parallel()
	s := openSite(t, "history", testbed.Run{})

	t.Run("a branch that is pushed by force is followed", func(t *testing.T) {
		first := s.repo.Head()
		s.recovers()
		s.repo.Reset(1)
		s.edits += 10
		s.repo.Write(map[string]string{"compose.yaml": s.compose(s.image.Ref)})
		commit := s.repo.Commit("another history")
		s.repo.ForcePush()
		s.poll()
		s.deployed(commit)
		if releases := s.agent.History(s.shop.Name); releases[0].Kind != "deploy" {
			t.Errorf("kind = %s, want deploy: this content is new", releases[0].Kind)
		}
		s.repo.Reset(1)
		s.repo.ForcePush()
		s.poll()
		s.deployed(first)
		if releases := s.agent.History(s.shop.Name); releases[0].Kind != "rollback" || releases[0].Restores != 1 {
			t.Errorf("newest release = %s, want a rollback to #1", releases[0])
		}
	})

	t.Run("an export that is cut short on disk is fetched again", func(t *testing.T) {
		unharmed := untouched(t, s.shop)
		files := exported(t, s.agent, "compose.yaml")
		if len(files) == 0 {
			t.Fatal("there is no export")
		}
		for _, file := range files {
			if err := os.Truncate(file, 3); err != nil {
				t.Fatal(err)
			}
		}
		s.poll()
		await(t, "a whole export", func() (bool, string) { return whole(t, s) })
		unharmed()
		s.recovers()
	})

	t.Run("a cache that is cut short while the agent is down is fetched again", func(t *testing.T) {
		unharmed := untouched(t, s.shop)
		s.agent.Stop()
		for _, pattern := range []string{"compose.yaml", "last.json"} {
			for _, file := range exported(t, s.agent, pattern) {
				if err := os.Truncate(file, 3); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.agent.Start()
		s.deployed(s.repo.Head())
		await(t, "a whole export", func() (bool, string) { return whole(t, s) })
		unharmed()
		s.recovers()
	})
}

// exported are the files of that name below the agent's exports.
func exported(t *testing.T, a *testbed.Agent, name string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(a.Data, "sources"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			found = append(found, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // what the agent fetches into has another name by now
		}
		return err
	})
	if err != nil {
		t.Fatalf("look for %s below %s: %v", name, a.Data, err)
	}
	return found
}

// whole reports whether the export of the head is what was committed.
func whole(t *testing.T, s *site) (bool, string) {
	t.Helper()
	committed, err := os.ReadFile(filepath.Join(s.repo.Dir, "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, file := range exported(t, s.agent, "compose.yaml") {
		content, err := os.ReadFile(file)
		if err == nil && strings.Contains(file, s.repo.Head()) && string(content) == string(committed) {
			return true, ""
		}
		seen = append(seen, file+": "+string(content))
	}
	return false, strings.Join(seen, "\n")
}

func TestAnEmptyRepositoryIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newSite(t, "empty", testbed.Run{})
	s.agent.Start()
	await(t, "the agent", func() (bool, string) {
		answer := s.agent.CLI("status")
		return answer.Code == 0 && strings.Contains(answer.Stdout, "repository has no commits"), answer.Stdout + answer.Stderr
	})
	tells(t, s.agent, 0, "SourceFailed", "repository has no commits", "push a commit")
	unwell(t, s.agent)
	s.recovers()
	tells(t, s.agent, 0, "SourceRecovered")
}

func keep(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
