package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/reconcile"
	"davit/web"
)

// diary records what it is given; gate holds it up.
type diary struct {
	gate chan struct{}
	err  error
	mu   sync.Mutex
	kept []reconcile.Event
}

func (d *diary) Record(_ context.Context, e reconcile.Event) error {
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kept = append(d.kept, e)
	return d.err
}

func TestSlowRecordHoldsNobodyUpAndLosesOnlySteps(t *testing.T) {
	d := &diary{gate: make(chan struct{})}
	s := newStream(slog.New(slog.DiscardHandler), d, web.NewBell())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.run(t.Context())
	}()
	const n = 2 * backlog
	for range n {
		s.emit(reconcile.Event{Kind: reconcile.EventStepDone})
	}
	s.emit(reconcile.Event{Kind: reconcile.EventReleaseFailed})
	close(d.gate)
	s.close()
	<-ended
	if len(d.kept) > n || d.kept[len(d.kept)-1].Kind != reconcile.EventReleaseFailed {
		t.Errorf("%d events were kept, the last one %s", len(d.kept), d.kept[len(d.kept)-1].Kind)
	}
}

func TestEventsAreRecordedInOrderBeforeTheStreamEnds(t *testing.T) {
	d := &diary{}
	s := newStream(slog.New(slog.DiscardHandler), d, web.NewBell())
	for i := range 100 {
		s.emit(reconcile.Event{Seq: int64(i)})
	}
	s.close()
	s.run(t.Context())
	if len(d.kept) != 100 {
		t.Fatalf("%d events were recorded", len(d.kept))
	}
	for i, e := range d.kept {
		if e.Seq != int64(i) {
			t.Fatalf("event %d is number %d", e.Seq, i)
		}
	}
}

func TestRecordThatFailsIsReportedOnce(t *testing.T) {
	var log strings.Builder
	s := newStream(slog.New(slog.NewTextHandler(&log, nil)), &diary{err: errors.New("disk full")}, web.NewBell())
	for range 3 {
		s.emit(reconcile.Event{Kind: reconcile.EventHeld, Message: "m"})
	}
	s.close()
	s.run(t.Context())
	if n := strings.Count(log.String(), "disk full"); n != 1 {
		t.Errorf("reported %d times:\n%s", n, log.String())
	}
}

func TestEventsWaitForRoomOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &diary{err: fmt.Errorf("record event: %w", reconcile.ErrDiskFull)}
		s := newStream(slog.New(slog.DiscardHandler), d, web.NewBell())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.run(t.Context())
		}()
		s.emit(reconcile.Event{Seq: 1})
		synctest.Wait()
		s.emit(reconcile.Event{Seq: 2})
		synctest.Wait()
		d.mu.Lock()
		d.err, d.kept = nil, nil
		d.mu.Unlock()
		time.Sleep(2 * recordAgain)
		synctest.Wait()
		d.mu.Lock()
		kept := slices.Clone(d.kept)
		d.mu.Unlock()
		if len(kept) != 2 || kept[0].Seq != 1 || kept[1].Seq != 2 {
			t.Errorf("recorded %v once there is room, want both events in order", kept)
		}
		s.close()
		<-ended
	})
}

func TestSecretsAreTakenOutOfTexts(t *testing.T) {
	s := newSecrets()
	s.learn("hunter2hunter2", "hunter2", "abc", "line-one\nline-two\n")
	got := s.scrub("hunter2hunter2 hunter2 abc line-two")
	if got != "*** *** abc ***" {
		t.Errorf("got %q", got)
	}
}
