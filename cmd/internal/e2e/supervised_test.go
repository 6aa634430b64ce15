package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"davit/traffic"
)

// supervised is an edge that is started again as deploy/systemd/davit-edge.service says:
// whenever it has ended, after 100 ms.
type supervised struct {
	t    *testing.T
	data string
	// command makes one life.
	command func() *exec.Cmd
	over    context.Context
	running sync.WaitGroup

	mu  sync.Mutex
	now *exec.Cmd
}

// restartAfter is the unit's RestartSec.
const restartAfter = 100 * time.Millisecond

// supervise keeps an edge up until the test ends, and returns once it serves.
func supervise(t *testing.T, data string, command func() *exec.Cmd) *supervised {
	t.Helper()
	over, end := context.WithCancel(context.WithoutCancel(t.Context()))
	s := &supervised{t: t, data: data, command: command, over: over}
	log, err := os.Create(filepath.Join(t.TempDir(), "edge.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.running.Go(func() { s.keep(log) })
	t.Cleanup(func() {
		end()
		s.signal(syscall.SIGKILL)
		s.running.Wait()
		log.Close()
		if text, err := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the edge wrote, %v:\n%s", err, text)
		}
	})
	s.waitFor(func(v traffic.Versions) bool { return v.PID != 0 })
	return s
}

// keep starts the edge again and again.
func (s *supervised) keep(log *os.File) {
	for s.over.Err() == nil {
		c := s.command()
		c.Stdout, c.Stderr = log, log
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		s.mu.Lock()
		err := c.Start()
		s.now = c
		s.mu.Unlock()
		if err != nil {
			s.t.Errorf("start the edge: %v", err)
			return
		}
		if s.over.Err() != nil {
			s.signal(syscall.SIGKILL)
		}
		_ = c.Wait() // how it ended is no matter to a supervisor
		select {
		case <-s.over.Done():
		case <-time.After(restartAfter):
		}
	}
}

func (s *supervised) signal(signal syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && s.now.Process != nil {
		_ = s.now.Process.Signal(signal) // it may have ended
	}
}

// waitFor waits for an edge to answer.
func (s *supervised) waitFor(is func(traffic.Versions) bool) {
	s.t.Helper()
	await(s.t, "the edge to answer", func() (bool, string) {
		v, err := asked(s.t.Context(), s.data, (*traffic.Client).Versions)
		if err != nil {
			return false, err.Error()
		}
		return is(v), v.String()
	})
}

// asked is what the edge of a data directory says.
func asked[T any](ctx context.Context, data string, question func(*traffic.Client, context.Context) (T, error)) (T, error) {
	client := traffic.NewClient(traffic.Socket(data))
	defer client.Close()
	return question(client, ctx)
}
