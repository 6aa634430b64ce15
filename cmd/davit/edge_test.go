package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"davit/traffic"
)

func TestAnEdgeThatWasKilledServesTheSameAgain(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one", "two")
	first := b.edge()
	at := b.freePort()
	b.apply(b.table(at))
	if _, err := callOnce(at, "hello"); err != nil {
		t.Fatal(err)
	}
	first.signal(syscall.SIGKILL)
	first.end()
	b.edge()
	if s := b.state(); s.Generation != 1 || len(s.Ports) != 1 || s.Ports[0].Closed != "" {
		t.Errorf("%+v", s)
	}
	// It parks until the engine has confirmed whose the addresses are.
	if who, err := callOnce(at, "hello again"); err != nil || who == "" {
		t.Errorf("%q, %v", who, err)
	}
}

func TestATakeoverUnderLoadLosesNoConnection(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one", "two")
	life := b.edge()
	at := b.freePort()
	b.apply(b.table(at))
	kept, err := dialEdge(at)
	if err != nil {
		t.Fatal(err)
	}
	home, err := kept.say("before")
	if err != nil {
		t.Fatal(err)
	}
	load := beginLoad(t, at)
	var lives []*edgeLife
	for i := range 3 {
		load.more(20)
		next := b.start("--takeover")
		b.answers(next)
		if who, err := kept.say(fmt.Sprint("after takeover ", i)); err != nil || who != home {
			t.Fatalf("the kept connection: %q, %v", who, err)
		}
		lives, life = append(lives, life), next
	}
	load.more(20)
	load.end()

	// The first edge has the kept connection: it counts, and is drained, as one's own.
	b.until("only the kept connection is left, with an edge that ends", func() bool {
		s := b.state()
		return s.Elders == 1 && inFlight(s, "one")+inFlight(s, "two") == 1 && inFlight(s, home) == 1
	})
	drained := b.table(at)
	for i, c := range b.containers {
		if c.name == home {
			drained.Ports[0].Backends[i].Drain = &traffic.Drain{Since: time.Now(), Timeout: 0, Streams: 50 * time.Millisecond}
		}
	}
	b.apply(drained)
	if _, err := kept.lines.ReadString('\n'); err == nil {
		t.Error("the kept connection was not cut at the end of its drain")
	}
	b.until("nothing is in flight", func() bool { return inFlight(b.state(), home) == 0 })
	for i, l := range lives {
		if code := l.end(); code != 0 {
			t.Errorf("edge %d of those that handed over ended with %d", i, code)
		}
	}
	if left, err := filepath.Glob(filepath.Join(traffic.Dir(b.data), "elder-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAnEdgeThatWaitsTakesOverWhenTheOtherEnds(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one")
	first := b.edge()
	at := b.freePort()
	b.apply(b.table(at))
	second := b.start("--wait")
	third := b.start("--wait")
	b.until("both wait", func() bool {
		return strings.Contains(second.log.String(), "the edge starts") && strings.Contains(third.log.String(), "the edge starts")
	})
	load := beginLoad(t, at)
	load.more(20)
	first.signal(syscall.SIGTERM)
	if code := first.end(); code != 0 {
		t.Errorf("the edge that was told to end ended with %d", code)
	}
	load.more(20)
	load.end()
	heir, other := second, third
	b.until("one of those that wait answers", func() bool {
		c := b.client()
		defer c.Close()
		v, err := c.Versions(t.Context())
		if err == nil && v.PID == third.command.Process.Pid {
			heir, other = third, second
		}
		return err == nil && v.PID != first.command.Process.Pid
	})
	// One that is killed cannot hand over, but it is succeeded.
	heir.signal(syscall.SIGKILL)
	heir.end()
	b.answers(other)
	if who, err := callOnce(at, "still there"); err != nil || who != "one" {
		t.Errorf("%q, %v", who, err)
	}
}

func TestASecondEdgeOnADirectoryIsRefused(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t)
	first := b.edge()
	second := b.start()
	if code := second.end(); code != exitError {
		t.Errorf("it ended with %d", code)
	}
	for _, want := range []string{"another edge has the directory", fmt.Sprint("process ", first.command.Process.Pid), "davit edge --takeover"} {
		if !strings.Contains(second.log.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, second.log)
		}
	}
	b.answers(first)
}

func TestTheEdgesFilesAreItsOwnersAlone(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one")
	b.edge()
	b.apply(b.table(b.freePort()))
	entries, err := os.ReadDir(traffic.Dir(b.data))
	if err != nil || len(entries) < 4 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if info, err := os.Stat(traffic.Dir(b.data)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info, err)
	}
}

func TestAnEdgeDoesNotTakeASocketFromAnotherProgram(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t)
	if err := os.MkdirAll(traffic.Dir(b.data), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", traffic.Socket(b.data))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4<<10)) // who only looks whether somebody answers says nothing
			fmt.Fprint(conn, "220 mail.example.org ESMTP\r\n")
			conn.Close()
		}
	}()
	e := b.start()
	if code := e.end(); code != exitError || !strings.Contains(e.log.String(), "another process answers there") {
		t.Errorf("ended with %d:\n%s", code, e.log)
	}
	c := b.client()
	defer c.Close()
	if _, err := c.State(t.Context()); err == nil || errors.Is(err, traffic.ErrNoEdge) {
		t.Errorf("of another program: %v", err)
	}
}

func TestADetachedEdgeOutlivesWhoStartedIt(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one")
	launcher := b.start("--detach")
	if code := launcher.end(); code != 0 {
		t.Fatalf("ended with %d:\n%s", code, launcher.log)
	}
	b.endDetached()
	at := b.freePort()
	b.apply(b.table(at))
	if who, err := callOnce(at, "hello"); err != nil || who != "one" {
		t.Errorf("%q, %v", who, err)
	}
	again := b.start("--detach")
	if code := again.end(); code != exitError || !strings.Contains(again.log.String(), "another edge has the directory") {
		t.Errorf("a second one ended with %d:\n%s", code, again.log)
	}
	next := b.start("--detach", "--takeover")
	if code := next.end(); code != 0 {
		t.Errorf("one that takes over ended with %d:\n%s", code, next.log)
	}
	if who, err := callOnce(at, "hello"); err != nil || who != "one" {
		t.Errorf("%q, %v", who, err)
	}
}

// endDetached ends with the test the edges that nobody waits for.
func (b *edgeBed) endDetached() {
	b.Cleanup(func() {
		c := b.client()
		defer c.Close()
		v, err := c.Versions(context.WithoutCancel(b.Context()))
		if err != nil {
			return
		}
		_ = syscall.Kill(v.PID, syscall.SIGKILL) // it may have ended
	})
}

func TestAnEdgeTellsItsServiceManagerWhichProcessServes(t *testing.T) {
	b := newEdgeBed(t)
	dir, err := os.MkdirTemp("", "notify-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	heard := func() string {
		text := make([]byte, 4<<10)
		if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		n, err := manager.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:n])
	}
	first := b.edge()
	if want := fmt.Sprintf("READY=1\nMAINPID=%d\n", first.command.Process.Pid); !strings.HasPrefix(heard(), want) {
		t.Errorf("not %q", want)
	}
	reload := b.start("--detach", "--takeover")
	if code := reload.end(); code != 0 {
		t.Fatalf("the reload ended with %d", code)
	}
	b.endDetached()
	said := heard()
	if !strings.HasPrefix(said, "READY=1\nMAINPID=") || strings.Contains(said, fmt.Sprint("=", first.command.Process.Pid, "\n")) {
		t.Errorf("after a reload: %q", said)
	}
	first.end()
}

// inFlight is what the replica of a container has to do.
func inFlight(s traffic.State, container string) int64 {
	names := map[string]string{"web/1": "one", "web/2": "two"}
	for _, r := range s.Replicas {
		if names[r.Replica] == container {
			return r.Requests + r.Streams
		}
	}
	return 0
}

// load is clients that dial anew for every line, and some that keep what they have for
// a while.
type load struct {
	t       *testing.T
	clients sync.WaitGroup
	over    chan struct{}
	done    chan struct{}
}

func beginLoad(t *testing.T, at netip.AddrPort) *load {
	l := &load{t: t, over: make(chan struct{}), done: make(chan struct{}, 1)}
	for n := range 4 {
		l.clients.Go(func() {
			for i := 0; ; i++ {
				if _, err := callOnce(at, fmt.Sprintf("client %d call %d", n, i)); err != nil {
					t.Errorf("client %d, call %d: %v", n, i, err)
					return
				}
				select {
				case <-l.over:
					return
				case l.done <- struct{}{}:
				default:
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// more waits until some more calls were answered.
func (l *load) more(calls int) {
	l.t.Helper()
	for range calls {
		select {
		case <-l.done:
		case <-time.After(time.Minute):
			l.t.Fatal("no call is answered any more")
		}
	}
}

func (l *load) end() {
	select {
	case <-l.over:
	default:
		close(l.over)
	}
	l.clients.Wait()
}
