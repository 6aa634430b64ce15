package notify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"davit/reconcile"
)

// worker sends to one receiver.
type worker struct {
	notifier *Notifier
	receiver *receiver
	// later are the moments at which further attempts are due.
	later []time.Time
}

// run works until ctx ends, and then once more. What is under way is cut off only
// when hard ends.
func (w *worker) run(ctx, hard context.Context) {
	w.inherit(hard)
	for {
		wait := w.work(hard)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-w.receiver.wake:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			w.work(hard)
			return
		}
	}
}

// inherit learns when the next deliveries of an earlier process are due: the
// regular look may come a minute later.
func (w *worker) inherit(ctx context.Context) {
	now := time.Now()
	left, err := w.notifier.outbox.Due(ctx, w.receiver.name, now.Add(lookEvery), batch)
	if err != nil {
		return // work meets the same trouble and reports it
	}
	for _, d := range left {
		if d.Due.After(now) {
			w.later = append(w.later, d.Due)
		}
	}
}

// work makes one attempt for everything that is due, and returns how long to
// wait for more.
func (w *worker) work(ctx context.Context) time.Duration {
	n := w.notifier
	for {
		due, err := n.outbox.Due(ctx, w.receiver.name, time.Now(), batch)
		if err == nil {
			err = w.sendAll(ctx, due)
		}
		if ctx.Err() != nil {
			return 0
		}
		if err != nil {
			// Going on at once would send the same deliveries over and over.
			n.log.Error("notifications are delayed", "endpoint", w.receiver.name, "error", err)
			return afterTrouble
		}
		if len(due) < batch {
			return w.pause(time.Now())
		}
	}
}

// pause is how long nothing will be due, as far as this process knows.
func (w *worker) pause(now time.Time) time.Duration {
	w.later = slices.DeleteFunc(w.later, func(t time.Time) bool { return !t.After(now) })
	if len(w.later) == 0 {
		return lookEvery
	}
	return min(lookEvery, slices.MinFunc(w.later, time.Time.Compare).Sub(now))
}

// sendAll makes one attempt for each delivery. Its error is the outbox's.
func (w *worker) sendAll(ctx context.Context, due []reconcile.Delivery) error {
	for _, d := range due {
		v := w.notifier.post(ctx, w.receiver, d)
		if ctx.Err() != nil && !v.delivered() {
			return ctx.Err() // cut off by our own end: that says nothing about the receiver
		}
		if err := w.settle(ctx, d, v); err != nil {
			return fmt.Errorf("delivery %s: %w", d.ID, err)
		}
	}
	return nil
}

func (w *worker) settle(ctx context.Context, d reconcile.Delivery, v verdict) error {
	// What the receiver has is to be recorded even at the very end.
	ctx = context.WithoutCancel(ctx)
	n, now := w.notifier, time.Now()
	log := n.log.With("endpoint", w.receiver.name, "delivery", d.ID, "event", d.Event.Kind, "stack", d.Event.Stack)
	switch {
	case v.delivered():
		log.Debug("notification delivered", "attempt", d.Attempts+1)
		return n.outbox.Delivered(ctx, d.ID)
	case v.final:
		log.Error("notification given up", "reason", v.reason)
		return n.outbox.Failed(ctx, d.ID, time.Time{}, v.reason)
	case now.Sub(d.Created) >= n.maxAge:
		log.Error("notification given up", "reason", v.reason, "age", now.Sub(d.Created))
		return n.outbox.Failed(ctx, d.ID, time.Time{}, "too old: "+v.reason)
	}
	next := now.Add(max(backoff(d.Attempts), v.after))
	w.later = append(w.later, next)
	log.Warn("notification failed", "reason", v.reason, "attempt", d.Attempts+1, "next", next)
	return n.outbox.Failed(ctx, d.ID, next, v.reason)
}
