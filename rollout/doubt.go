package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"davit/reconcile"
)

// again makes the call of a step a second time where its error would be held against
// the content. An engine that goes down refuses what it is asked in many words, and
// nothing in an answer tells that from a refusal on the content's account. What tells
// is whether the engine is there to stay, and whether it says the same once more: an
// engine that has just come back, or a tag that moved in between, does not. Every call
// is safe to repeat but a command's, which may have been carried out. The first call began
// at that time.
func (e *Executor) again(ctx context.Context, job reconcile.Job, t task, since time.Time, first outcome) outcome {
	var f *fault
	if !errors.As(blame(t.step, first.err), &f) {
		return first
	}
	if gone := e.gone(ctx, since); gone != nil {
		first.err = errors.Join(first.err, gone)
		return first
	}
	if t.step.Kind == reconcile.StepHook && !ofRelease(t.step) {
		return first
	}
	second := e.do(ctx, job, t)
	if second.id == "" {
		second.id = first.id
	}
	return second
}

// doubt excuses a fault that was found where the engine is on its way down, or has been
// since that time.
func (e *Executor) doubt(ctx context.Context, since time.Time, err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	if gone := e.gone(ctx, since); gone != nil {
		return fmt.Errorf("%s: %w", f.reason, gone) // which is no fault any more
	}
	return err
}

// gone says that the engine is not there to stay, or was lost after that time; nil if it is.
func (e *Executor) gone(ctx context.Context, since time.Time) error {
	if err := e.engine.Answers(ctx); err != nil {
		return fmt.Errorf("%w: %w", reconcile.ErrEngineUnavailable, err)
	}
	if e.outage.since(since) {
		return fmt.Errorf("%w: it was lost meanwhile", reconcile.ErrEngineUnavailable)
	}
	return nil
}

// ailing are what an engine says, in lower case, while what it runs containers with
// is not to be reached or is on its way down: containerd, a shim, a runtime that was
// killed. No content makes it say so.
var ailing = [...]string{
	"containerd.sock", "transport is closing", "client connection is closing", "the connection is unavailable", "connection error: desc",
	"ttrpc: closed", ": unavailable", "context canceled", "context deadline exceeded", "is shutting down", "unexpected eof", ": eof",
}

// ails reports whether err is what an engine says that is not well.
func ails(err error) bool {
	text := strings.ToLower(err.Error())
	for _, words := range ailing {
		if strings.Contains(text, words) {
			return true
		}
	}
	return false
}
