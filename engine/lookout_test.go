package engine_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"

	"davit/engine"
)

func TestALookoutSeesWhoHasWhichAddressAndWhenThatIsInDoubt(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	told := make(chan string, 1000)
	watch(t, l.engine, told)
	hear(t, told, "") // the stream began

	p := l.stack()
	id := l.create(l.request(p, onNetworks("default", "other"), "web-1"))
	if seen := sight(t, l.engine, id, "no-such-container"); len(seen) != 0 {
		t.Errorf("of a container that never ran: %v", seen)
	}
	l.start(id)
	hear(t, told, id)
	found := l.inspect(id)
	seen := sight(t, l.engine, id)
	if len(seen) != 1 || seen[0].Container != id || seen[0].Started.IsZero() || len(seen[0].Addresses) == 0 || seen[0].Process != found.State.Pid {
		t.Fatalf("%+v", seen)
	}
	for _, n := range found.NetworkSettings.Networks {
		if !slices.Contains(seen[0].Addresses, netip.MustParseAddr(n.IPAddress)) {
			t.Errorf("%s is not among %v", n.IPAddress, seen[0].Addresses)
		}
	}
	drain(told)
	l.check(l.docker.ContainerStop(t.Context(), id, container.StopOptions{Signal: "SIGKILL"}))
	hear(t, told, id)
	if seen := sight(t, l.engine, id); len(seen) != 0 {
		t.Errorf("of a container that has ended: %v", seen)
	}
}

func TestALookoutThatDoesNotHearItsEngineSaysSo(t *testing.T) {
	t.Parallel()
	e := newEngine(t, "unix:///nowhere.sock")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // which is many attempts
	defer cancel()
	err := e.WatchAddresses(ctx, func(why error) {
		if why == nil {
			t.Error("it hears an engine that is not there")
		}
	}, func(container string) { t.Errorf("it has heard of %q", container) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := e.Sight(t.Context(), []string{"x"}); err == nil {
		t.Error("an engine that is not there has seen something")
	}
}

// watch follows the engine until the test ends.
func watch(t *testing.T, e *engine.Engine, told chan<- string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	heard := func(why error) {
		if why == nil {
			told <- ""
		}
	}
	go func() { ended <- e.WatchAddresses(ctx, heard, func(id string) { told <- id }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
	})
}

func hear(t *testing.T, told <-chan string, want string) {
	t.Helper()
	for late := time.After(30 * time.Second); ; {
		select {
		case id := <-told:
			if id == want {
				return
			}
		case <-late:
			t.Fatalf("not a word about %q", want)
		}
	}
}

func drain(told <-chan string) {
	for len(told) > 0 {
		<-told
	}
}

func sight(t *testing.T, e *engine.Engine, ids ...string) []engine.Sighting {
	t.Helper()
	seen, err := e.Sight(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}
