package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
)

const (
	// firstRetry and lastRetry bound the wait before the stream is opened again.
	firstRetry, lastRetry = 200 * time.Millisecond, 15 * time.Second
	// heartbeat is how often an engine that says nothing is asked whether it
	// lives, and answerWithin how long it has to answer.
	heartbeat, answerWithin = 30 * time.Second, 10 * time.Second
	// steady is how long a stream lasts that was no false start.
	steady = time.Second
)

// Events calls f for everything that happens to a Compose project's containers,
// one call at a time, until ctx ends. The first call is EngineRecovered, or
// EngineLost when the engine does not answer. After EngineRecovered everything
// may have changed: the engine keeps no history across a restart.
func (e *Engine) Events(ctx context.Context, f func(Change)) error {
	defer e.seen.setLive(false)
	defer e.ours.doubt()
	wait, lost := firstRetry, false
	for {
		began := time.Now()
		err := e.stream(ctx, func(c Change) {
			lost = lost && c.Kind != EngineRecovered
			f(c)
		})
		e.seen.setLive(false)
		e.ours.doubt()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !lost {
			lost = true
			f(Change{Kind: EngineLost, Err: err})
		}
		if time.Since(began) > steady {
			wait = firstRetry
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, lastRetry)
	}
}

// stream follows one subscription to its end.
func (e *Engine) stream(ctx context.Context, f func(Change)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := e.connect(ctx)
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	messages, failed, err := subscribe(ctx, cancel, c)
	if err != nil {
		e.forget(c)
		return fmt.Errorf("watch events: %w", err)
	}
	if err := e.alive(ctx); err != nil {
		return err
	}
	e.seen.setLive(true)
	f(Change{Kind: EngineRecovered})
	doubts := newDoubts(e)
	defer doubts.wait()
	defer cancel() // before the wait
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case m := <-messages:
			change, foreign, ok := e.change(m)
			if !ok {
				continue
			}
			if foreign {
				doubts.add(ctx, change)
			}
			f(change)
		case <-doubts.answered:
			for _, change := range doubts.confirmed() {
				e.ours.confirm(change.Container)
				f(change)
			}
		case <-beat.C:
			if err := e.alive(ctx); err != nil {
				return err
			}
		case err := <-failed:
			e.forget(c)
			return fmt.Errorf("watch events: %w", unavailable(fmt.Errorf("the stream ended: %w", err)))
		}
	}
}

// subscribe opens the stream and gives up on an engine that takes the request and
// then says nothing.
func subscribe(ctx context.Context, cancel func(), c *client.Client) (<-chan events.Message, <-chan error, error) {
	late := time.AfterFunc(answerWithin, cancel)
	messages, failed := c.Events(ctx, events.ListOptions{Filters: subscription()})
	if !late.Stop() {
		return nil, nil, errors.New("the engine does not answer")
	}
	return messages, failed, nil
}

// subscription leaves out what health checks cause: three events for every probe.
// A network's events carry no labels, so the labels are looked at here.
func subscription() filters.Args {
	args := filters.NewArgs(filters.Arg("type", string(events.ContainerEventType)), filters.Arg("type", string(events.NetworkEventType)))
	for _, action := range []events.Action{
		events.ActionCreate, events.ActionStart, events.ActionStop, events.ActionKill, events.ActionDie, events.ActionOOM,
		events.ActionPause, events.ActionUnPause, events.ActionRename, events.ActionUpdate, events.ActionDestroy,
		events.ActionHealthStatus, events.ActionConnect, events.ActionDisconnect,
	} {
		args.Add("event", string(action))
	}
	return args
}

func (e *Engine) alive(ctx context.Context) error {
	return e.doWithin(ctx, answerWithin, "ping", func(ctx context.Context, c *client.Client) error {
		_, err := c.Ping(ctx)
		return err
	})
}

// change turns a message into a Change, and says whether it is a stop that this
// process did not ask for.
func (e *Engine) change(m events.Message) (c Change, foreign, ok bool) {
	if m.Type == events.NetworkEventType {
		c = Change{Kind: ChangeNetwork, Action: string(m.Action), Container: m.Actor.Attributes["container"]}
		c.Stack, c.Service = e.seen.owner(c.Container)
		e.seen.forget(c.Container)
		return c, false, c.Stack != ""
	}
	c = Change{
		Kind: ChangeContainer, Action: string(m.Action), Container: m.Actor.ID,
		Stack: m.Actor.Attributes[labelProject], Service: m.Actor.Attributes[labelService],
	}
	if c.Stack == "" {
		return c, false, false
	}
	e.seen.forget(c.Container)
	switch m.Action {
	case events.ActionStart, events.ActionDestroy:
		e.ours.start(c.Container)
	case events.ActionStop:
		e.ours.completed(c.Container)
		foreign = !e.ours.has(c.Container)
	case events.ActionKill:
		deadly := ends(m.Actor.Attributes["signal"])
		e.ours.killed(c.Container, time.Unix(0, m.TimeNano), deadly)
		foreign = !e.ours.has(c.Container) && deadly
	}
	return c, foreign, true
}

// ends reports whether a signal is one that people stop things with; others ask a
// process to reload, or to dump its state.
func ends(signal string) bool {
	switch strings.ToUpper(signal) {
	case "2", "3", "9", "15", "SIGINT", "SIGQUIT", "SIGKILL", "SIGTERM":
		return true
	}
	return false
}
