package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"davit/reconcile"
)

// An engine that is killed while it starts a container may not have come to write down
// that it runs. Back again, it takes the container for one that does not: there is nothing
// to stop, a start ends with "id already in use", and a removal leaves the process where it
// is, with the volumes in its hands and nobody who knows of it (moby issue 40613). A second
// writer on those volumes would be the next thing to be started. So nothing is started or
// removed over a new connection before such orphans have been looked for, and ended as the
// engine would have ended them: what it knows to have outlived it, it stops.
type orphans struct {
	// looking has room for one look; the others wait for its end or theirs.
	looking chan struct{}
	// none is the connection over which there was no orphan left.
	none *client.Client
	host procFS

	mu *sync.Mutex
	// asked is since when each container's orphans have been asked to end. A grace may be
	// longer than a caller has time: the next one goes on with what is left of it.
	asked map[string]time.Time
}

const (
	// orphanAgain is the pause before a second look: what runs in a container that does not
	// may be about to end, or to be said to run.
	orphanAgain = time.Second
	// orphanKilled is how long the kernel has to end what was killed.
	orphanKilled = 5 * time.Second
	orphanPoll   = 20 * time.Millisecond
)

func newOrphans() orphans {
	return orphans{looking: make(chan struct{}, 1), host: "/proc", mu: &sync.Mutex{}, asked: map[string]time.Time{}}
}

// clearUp ends the orphans of this instance's containers, once for each connection.
func (e *Engine) clearUp(ctx context.Context) error {
	select {
	case e.orphans.looking <- struct{}{}:
		defer func() { <-e.orphans.looking }()
	case <-time.After(e.timeout):
		return unavailable(errors.New("what it had lost is not cleared up yet"))
	case <-ctx.Done():
		return ctx.Err()
	}
	if c := e.connected(); c != nil && c == e.orphans.none {
		return nil
	}
	var rows []container.Summary
	var over *client.Client
	err := e.do(ctx, "list containers that do not run", func(ctx context.Context, c *client.Client) (err error) {
		over = c
		rows, err = c.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(
			filters.Arg("label", labelInstance+"="+e.instance),
			filters.Arg("status", container.StateCreated), filters.Arg("status", container.StateExited), filters.Arg("status", container.StateDead))})
		return err
	})
	if err != nil {
		return err
	}
	if err := e.endOrphans(ctx, slices.Collect(maps.Keys(idsOf(rows)))); err != nil {
		return err
	}
	e.orphans.none = over
	return nil
}

// endOrphans ends what runs in those of the containers that do not run, as the engine sees it.
func (e *Engine) endOrphans(ctx context.Context, ids []string) error {
	suspects := e.orphans.host.inside(ids)
	if len(suspects) == 0 {
		return nil
	}
	select {
	case <-time.After(orphanAgain):
	case <-ctx.Done():
		return unavailable(ctx.Err())
	}
	group, ctx := errgroup.WithContext(ctx)
	for id := range e.orphans.host.inside(slices.Collect(maps.Keys(suspects))) {
		group.Go(func() error { return e.endOrphan(ctx, id) })
	}
	return group.Wait()
}

// endOrphan ends what runs in a container that does not run. An inspect waits for a start
// that is under way, and so that is not taken for one that was lost.
func (e *Engine) endOrphan(ctx context.Context, id string) error {
	found, err := e.inspect(ctx, id)
	switch {
	case errors.Is(err, reconcile.ErrContainerMissing):
		return nil // removed meanwhile, by somebody else
	case err != nil:
		return err
	case found.State.Running:
		return nil
	}
	grace := graceOf(found.Config)
	if grace < 0 {
		grace = e.pull
	}
	e.log.Warn("the engine lost a process that it had started; it is ended", "container", strings.TrimPrefix(found.Name, "/"), "id", id, "grace", grace)
	if err := e.orphans.end(ctx, id, stopSignal(found.Config), grace); err != nil {
		return lost(fmt.Errorf("end what runs in container %s, which does not run: %w", id, err), id)
	}
	return nil
}

// lost is an error that is nothing of the content's.
func lost(err error, id string) error {
	return unavailable(reconcile.WithHint(err, "the engine has lost a process of that container. davit ends it where it sees the host's processes (run as root, or with pid: host) and may signal them; grep -l %s /proc/[0-9]*/cgroup names it for who ends it by hand", id))
}

// end asks what the container was started with to end, once, and kills all that is left of
// it after the grace.
func (o orphans) end(ctx context.Context, id string, asks syscall.Signal, grace time.Duration) error {
	here := func() []int { return o.host.inside([]string{id})[id] }
	since, before := o.ask(id)
	if !before {
		if err := o.signal(o.host.firsts(here()), id, asks); err != nil {
			o.forget(id)
			return err
		}
	}
	gone := func() bool { return len(here()) == 0 }
	if await(ctx, time.Until(since.Add(grace)), gone) {
		o.forget(id)
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	o.forget(id)
	if err := o.signal(here(), id, syscall.SIGKILL); err != nil {
		return err
	}
	if !await(ctx, orphanKilled, gone) {
		return fmt.Errorf("processes %v do not end", here())
	}
	return nil
}

// ask returns since when the container's orphans have been asked to end, and whether they
// had been before.
func (o orphans) ask(id string) (since time.Time, before bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if since, before = o.asked[id]; !before {
		since = time.Now()
		o.asked[id] = since
	}
	return since, before
}

func (o orphans) forget(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.asked, id)
}

func (o orphans) signal(pids []int, id string, s syscall.Signal) error {
	for _, pid := range pids {
		if err := o.host.signal(pid, id, s); err != nil {
			return fmt.Errorf("signal process %d: %w", pid, err)
		}
	}
	return nil
}

// await polls until f is true, and reports whether it was before the limit or ctx ended.
func await(ctx context.Context, limit time.Duration, f func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !f() {
		select {
		case <-time.After(orphanPoll):
		case <-ctx.Done():
			return f()
		}
	}
	return true
}

// stopSignal is what the container asks to be stopped with: a name with or without SIG, or
// a number. The engine takes nothing else.
func stopSignal(c *container.Config) syscall.Signal {
	name := strings.ToUpper(c.StopSignal)
	if s := unix.SignalNum("SIG" + strings.TrimPrefix(name, "SIG")); s != 0 {
		return s
	}
	if n := number(name); n > 0 {
		return syscall.Signal(n)
	}
	return syscall.SIGTERM
}
