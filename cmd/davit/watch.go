package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"davit/reconcile"
	"davit/web"
)

// glance is how often a stack is looked at when nothing happens.
const glance = time.Second

// watch follows stacks until they settle.
type watch struct {
	*console
	client *web.Client
	// progress shows what happens.
	progress *progress
	// stack is "" for all of them.
	stack string
	// cursor is the last event before the order was given.
	cursor int64
	// pending says what the last look found still under way.
	pending string
}

// newWatch is called before the order is given, so that nothing is missed.
func (c *console) newWatch(ctx context.Context, client *web.Client, stack string) (*watch, error) {
	w := &watch{console: c, client: client, stack: stack}
	return w, client.Events(ctx, web.EventQuery{Limit: 1}, func(e reconcile.Event) error {
		w.cursor = e.ID
		return nil
	})
}

// until prints what happens and calls look at first, after every event that may
// have changed how a stack stands, and now and then, until it says done.
func (w *watch) until(ctx context.Context, look func(context.Context) (done bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.progress = w.newProgress()
	defer w.progress.close()
	events := make(chan reconcile.Event)
	followed := make(chan error, 1)
	go func() {
		// An agent without any event yet is followed from the beginning.
		q := web.EventQuery{Stack: w.stack, After: max(w.cursor, 1), Follow: true}
		if w.cursor == 0 {
			q = web.EventQuery{Stack: w.stack, Follow: true}
		}
		followed <- w.client.Events(ctx, q, func(e reconcile.Event) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	err := w.loop(ctx, events, followed, look)
	cancel()
	<-followed
	return err
}

func (w *watch) loop(ctx context.Context, events <-chan reconcile.Event, followed chan error, look func(context.Context) (bool, error)) error {
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		if done, err := look(ctx); done || err != nil {
			w.drain(events)
			return err
		}
	waiting:
		for {
			select {
			case e := <-events:
				w.progress.event(e)
				if !strings.HasPrefix(string(e.Kind), "Step") {
					break waiting
				}
			case <-tick.C:
				break waiting
			case err := <-followed:
				followed <- err
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// drain prints what had happened by the time the stack had settled.
func (w *watch) drain(events <-chan reconcile.Event) {
	for {
		select {
		case e := <-events:
			w.progress.event(e)
		case <-time.After(glance / 4):
			return
		}
	}
}

// settled reports whether every watched stack has come to rest; its error says
// which did not end well.
func (w *watch) settled(ctx context.Context) (bool, error) {
	status, err := w.status(ctx)
	if err != nil || status == nil {
		return false, err
	}
	var bad error
	for _, k := range status {
		done, err := verdict(k)
		if w.stack == "" && leftAlone(k) {
			err = nil
		}
		if !done {
			w.pending = ended(k).Error()
			return false, nil
		}
		bad = errors.Join(bad, err)
	}
	// How a stack stands is what the last pass found. That it has nothing more to
	// do, with what is declared now, is for the planner to say.
	plans, err := w.client.Plan(ctx, reconcile.PlanRequest{Stack: w.stack})
	if err == nil && !plans.Empty() {
		w.pending = "there is more to do"
		return false, nil
	}
	return true, bad
}

// status is how the watched stacks stand, nil while the agent is restarted.
func (w *watch) status(ctx context.Context) ([]reconcile.StackStatus, error) {
	status, err := w.client.Status(ctx)
	var refused *web.Error
	switch {
	case errors.As(err, &refused):
		return nil, err
	case err != nil:
		return nil, ctx.Err()
	case w.stack == "":
		return list(status.Stacks), nil
	}
	for _, k := range status.Stacks {
		if k.Name == w.stack {
			return []reconcile.StackStatus{k}, nil
		}
	}
	return nil, web.NotFound(w.stack)
}

func list(l []reconcile.StackStatus) []reconcile.StackStatus {
	if l == nil {
		return []reconcile.StackStatus{}
	}
	return l
}

// verdict says whether a stack has come to rest, and what is wrong if it did not
// end well. A stack that waits has not: what it waits for may come; but a window is not
// waited for.
func verdict(k reconcile.StackStatus) (done bool, err error) {
	switch k.Sync {
	case reconcile.SyncWaiting:
		if k.Window != nil {
			return true, ended(k)
		}
	case reconcile.SyncSynced, reconcile.SyncPinned:
		switch k.Health {
		case reconcile.ConditionProgressing:
			return false, nil
		case reconcile.ConditionDegraded, reconcile.ConditionUnhealthy:
			return true, fmt.Errorf("%s is %s", k.Name, k.Health)
		}
		return true, nil
	case reconcile.SyncHeld, reconcile.SyncStalled, reconcile.SyncSuspended, reconcile.SyncOrphaned, reconcile.SyncUnadopted:
		return true, ended(k)
	}
	return false, nil
}

// leftAlone reports whether a stack is at rest because nobody asked davit to do
// anything about it: no reason to fail an apply that means all of them.
func leftAlone(k reconcile.StackStatus) bool {
	return k.Sync == reconcile.SyncWaiting && k.Window != nil || k.Sync == reconcile.SyncOrphaned || k.Sync == reconcile.SyncUnadopted || k.Sync == reconcile.SyncSuspended
}

// ended is the error for a stack that came to rest somewhere else.
func ended(k reconcile.StackStatus) error {
	why := k.WaitingFor
	if why == "" {
		why = k.LastError
	}
	text := fmt.Sprintf("%s is %s", k.Name, k.Sync)
	if why != "" {
		text += ": " + why
	}
	hints := map[reconcile.Sync]string{
		reconcile.SyncHeld:      "push a fix, or `davit retry " + k.Name + "`; `davit history " + k.Name + "` shows the attempt",
		reconcile.SyncSuspended: "`davit resume " + k.Name + "`",
		reconcile.SyncOrphaned:  "it is no longer declared: `davit remove " + k.Name + "`, or declare it again",
	}
	if k.Window != nil {
		hints[k.Sync] = "`davit apply " + k.Name + " --now` does not wait"
	}
	if h := hints[k.Sync]; h != "" {
		return reconcile.WithHint(errors.New(text), "%s", h)
	}
	return errors.New(text)
}

// timedOut turns the end of --timeout into its exit code; stopped by a signal is
// an error like others. An outcome that came in time stands, whatever the clock says
// once it is printed.
func timedOut(ctx context.Context, err error, what string, timeout time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &exit{Code: exitTimeout, Err: fmt.Errorf("%s: not done after %s", what, timeout)}
	}
	return err
}

// timedOut is the same with what was still under way.
func (w *watch) timedOut(ctx context.Context, err error, what string, timeout time.Duration) error {
	if w.pending != "" {
		what += ": " + w.pending
	}
	return timedOut(ctx, err, what, timeout)
}

// within bounds ctx by a timeout; 0 is none.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, timeout)
}
