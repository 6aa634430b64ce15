package main

import (
	"context"

	"davit/reconcile"
	"davit/state"
	"davit/web"
)

// openStream starts the one stream of events. It ends after everything that may
// still emit one, and before the record that it writes to.
func (a *agent) openStream(ctx context.Context) error {
	a.bell = web.NewBell()
	a.stream = newStream(a.logger, plainRecorder{a.store}, a.bell)
	a.stream.watch = a.watch
	recorded := make(chan struct{})
	go func() {
		defer close(recorded)
		// What happens while the agent ends is recorded as well.
		a.stream.run(context.WithoutCancel(ctx))
	}()
	a.onClose(func() {
		a.stream.close()
		<-recorded
	})
	return nil
}

// plainRecorder only writes events down.
type plainRecorder struct{ store *state.Store }

// Record implements recorder.
func (r plainRecorder) Record(ctx context.Context, e reconcile.Event) error {
	_, err := r.store.AppendEvent(ctx, e)
	return err
}
