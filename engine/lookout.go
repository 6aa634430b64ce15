package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
	"golang.org/x/sync/errgroup"

	"davit/reconcile"
)

// Sighting is a container that runs: since when, at which addresses, and as which of
// the host's processes.
type Sighting struct {
	Container string
	Started   time.Time
	Addresses []netip.Addr
	Process   int
}

// listenAgain bounds the pause before an engine is listened to again that was not heard:
// until then some wait that nobody vouches for.
const listenAgain = time.Second

// WatchAddresses calls its functions, one call at a time: moved when a container's
// addresses may have changed, with its ID; heard with nil when the stream of events
// began, so that nothing after is missed, and with what is wrong when it did not begin,
// or ended. It returns when ctx ends, with its error.
func (e *Engine) WatchAddresses(ctx context.Context, heard func(error), moved func(container string)) error {
	wait, told := firstRetry, false
	for {
		err := e.followAddresses(ctx, func() {
			wait, told = firstRetry, false
			heard(nil)
		}, moved)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		heard(err)
		if !told {
			e.log.Warn("the engine's events are not heard", "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, listenAgain)
	}
}

// followAddresses follows one subscription to its end.
func (e *Engine) followAddresses(ctx context.Context, begun func(), moved func(container string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := e.connect(ctx)
	if err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	messages, failed, err := subscribe(ctx, cancel, c)
	if err != nil {
		e.forget(c)
		return fmt.Errorf("watch addresses: %w", err)
	}
	if err := e.alive(ctx); err != nil {
		return err
	}
	begun()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case m := <-messages:
			if id := disturbed(m); id != "" {
				moved(id)
			}
		case <-beat.C:
			if err := e.alive(ctx); err != nil {
				return err
			}
		case err := <-failed:
			e.forget(c)
			return fmt.Errorf("watch addresses: %w", unavailable(fmt.Errorf("the stream ended: %w", err)))
		}
	}
}

// disturbed is the container whose addresses a message puts in doubt, "" for none.
func disturbed(m events.Message) string {
	switch m.Action {
	case events.ActionStart, events.ActionDie, events.ActionDestroy:
		if m.Type == events.ContainerEventType {
			return m.Actor.ID
		}
	case events.ActionConnect, events.ActionDisconnect:
		return m.Actor.Attributes["container"]
	}
	return ""
}

// Sight looks at containers, by ID, and returns those that run.
func (e *Engine) Sight(ctx context.Context, ids []string) ([]Sighting, error) {
	var mu sync.Mutex
	var all []Sighting
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inspectors)
	for _, id := range ids {
		group.Go(func() error {
			found, err := e.inspect(ctx, id)
			if errors.Is(err, reconcile.ErrContainerMissing) || err == nil && !found.State.Running {
				return nil
			}
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, sighted(found))
			return nil
		})
	}
	return all, group.Wait()
}

func sighted(c container.InspectResponse) Sighting {
	s := Sighting{Container: c.ID, Started: moment(c.State.StartedAt), Process: c.State.Pid}
	if c.NetworkSettings == nil {
		return s
	}
	for _, n := range c.NetworkSettings.Networks {
		if n == nil {
			continue
		}
		for _, text := range []string{n.IPAddress, n.GlobalIPv6Address} {
			if a, err := netip.ParseAddr(text); err == nil {
				s.Addresses = append(s.Addresses, a)
			}
		}
	}
	return s
}
