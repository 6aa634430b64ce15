package e2e

import (
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/cmd/internal/testbed"
)

// silentHost accepts connections and never says a word.
func silentHost(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		var held []net.Conn
		for {
			c, err := listener.Accept()
			if err != nil {
				break
			}
			held = append(held, c)
		}
		for _, c := range held {
			_ = c.Close()
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		serving.Wait()
	})
	return listener.Addr().String()
}

func TestASilentHostHangsNothingButItsOwnPoll(t *testing.T) {
	t.Parallel()
	s := openSite(t, "silent", testbed.Run{})
	dir := t.TempDir()
	password, known := filepath.Join(dir, "password"), filepath.Join(dir, "known_hosts")
	keep(t, password, "secret")
	keep(t, known, "")

	t.Run("an SSH host that says nothing ends the poll by its deadline", func(t *testing.T) {
		s.agent.Stop()
		unharmed := untouched(t, s.shop)
		deaf := s.bed.NewAgent(testbed.Run{
			Repo: "ssh://git@" + silentHost(t) + "/silent.git", Data: s.agent.Data,
			Args: []string{"--password-file", password, "--known-hosts-file", known, "--username", "git"},
		})
		deaf.Patience = 2 * time.Minute
		started := time.Now()
		deaf.Start()
		deaf.WaitStatus(s.shop.Name, "an answer while the poll hangs", func(st testbed.Status) bool {
			return st.Health == "healthy" && st.WaitingFor == "no revision has been fetched yet"
		})
		if early := time.Since(started); early > 25*time.Second {
			t.Errorf("the agent answered after %s only", early)
		}
		unharmed()
		s.heals()
		unharmed = untouched(t, s.shop)
		tells(t, deaf, 0, "SourceFailed", "list ssh://", "not done within 30s")
		deaf.WaitStatus(s.shop.Name, "the reason", func(st testbed.Status) bool {
			return strings.Contains(st.LastError, "not done within 30s")
		})
		unwell(t, deaf)
		unharmed()
		if code := deaf.Stop(); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
		s.agent.Start()
		s.recovers()
	})

	t.Run("an HTTP server that says nothing does not keep the agent from ending or starting", func(t *testing.T) {
		unharmed := untouched(t, s.shop)
		asked := s.bed.Git.Requests()
		s.bed.Git.Hang()
		s.poll()
		await(t, "a poll that hangs", func() (bool, string) { return s.bed.Git.Requests() > asked, "" })
		s.stands("synced")
		if code := s.agent.Stop(); code != 0 {
			t.Errorf("exit code = %d, want 0", code)
		}
		s.agent.Start()
		s.stands("synced")
		unharmed()
		s.heals()
		s.bed.Git.Resume()
		s.recovers()
	})
}

func TestASilentRegistryDelaysOneReleaseAndNothingElse(t *testing.T) {
	t.Parallel()
	s := openSite(t, "mute", testbed.Run{})
	s.bed.Registry.Hang()
	// The image is here already: the registry's silence costs time, not the release.
	commit := s.edit()
	s.poll()
	s.stands("progressing")
	s.deployed(commit)

	unharmed := untouched(t, s.shop)
	absent := s.push(s.compose(s.bed.Ref("web:2")))
	s.stands("waiting", "does not answer", "no answer within")
	unharmed()
	s.image = s.bed.Push("web:2", nimble("2"))
	s.bed.Registry.Resume()
	s.deployed(absent)
	s.recovers()
}
