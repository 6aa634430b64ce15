package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/reconcile"
)

func TestASourceThatHangsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := &remote{poll: func(ctx context.Context) (reconcile.Revision, error) {
			<-ctx.Done()
			return reconcile.Revision{}, ctx.Err()
		}}
		quick := &remote{poll: func(context.Context) (reconcile.Revision, error) { return reconcile.Revision{Commit: "b"}, nil }}
		first, second := &hub{}, &hub{}
		ps := pollers{newTestPoller(t, hung, first, &files{}), newTestPoller(t, quick, second, &files{})}
		ps[0].name, ps[1].name = "a", "b"
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var running sync.WaitGroup
		for _, p := range ps {
			running.Go(func() { p.run(ctx) })
		}
		synctest.Wait()
		if declared, _ := second.seen(); len(declared) != 1 {
			t.Fatalf("declared %v beside a source that hangs", declared)
		}
		if err := ps.Poll(ctx, "b"); err != nil {
			t.Error(err)
		}
		asked, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		if err := ps.Poll(asked, ""); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "source a:") || strings.Contains(err.Error(), "source b:") {
			t.Errorf("polling all: %v, want the deadline of a alone", err)
		}
		ps.ask()
		synctest.Wait()
		if states := ps.States(); states[0].Name != "a" || states[0].LastFetch != nil || states[1].Name != "b" || states[1].LastFetch == nil {
			t.Errorf("states %+v", states)
		}
		cancel()
		running.Wait()
	})
}
