package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/gitsource"
	"davit/reconcile"
)

// remote is a source whose polls end as the test says.
type remote struct {
	poll func(ctx context.Context) (reconcile.Revision, error)
	last reconcile.Revision
}

func (r *remote) Poll(ctx context.Context) (reconcile.Revision, error) { return r.poll(ctx) }
func (r *remote) Last() (reconcile.Revision, bool)                     { return r.last, r.last.Commit != "" }
func (r *remote) String() string                                       { return "https://git.example/ops" }

// hub notes what it is told.
type hub struct {
	mu       sync.Mutex
	declared []string
	states   []error
	events   []reconcile.EventKind
}

func (h *hub) Declare(d reconcile.Declaration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.declared = append(h.declared, d.Revision.Commit)
}

func (h *hub) SourceState(_ string, _ time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.states = append(h.states, err)
}

func (h *hub) emit(e reconcile.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e.Kind)
}

func (h *hub) seen() (declared []string, events []reconcile.EventKind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.declared...), append([]reconcile.EventKind{}, h.events...)
}

// files is a loader of empty declarations.
type files struct {
	stamp string
	loads int
	err   error
}

func (f *files) Load(_ context.Context, r reconcile.Revision) (reconcile.Declaration, error) {
	f.loads++
	return reconcile.Declaration{Revision: r}, f.err
}
func (f *files) Stamp() string { return f.stamp }

func newTestPoller(t *testing.T, source *remote, h *hub, f *files) *poller {
	t.Helper()
	schedule, err := gitsource.ParseSchedule("10m")
	if err != nil {
		t.Fatal(err)
	}
	return &poller{
		source: source, schedule: schedule, loader: f, loop: h, emit: h.emit, logger: slog.New(slog.DiscardHandler), now: time.Now,
		remember: func(context.Context, reconcile.Revision) error { return nil },
		asked:    make(chan chan error, 1), begun: make(chan struct{}),
	}
}

// polling runs p until the test's end.
func polling(ctx context.Context, p *poller) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

func TestLastGoodRevisionIsDeclaredWhenTheSourceIsDown(t *testing.T) {
	tests := map[string]func(context.Context) (reconcile.Revision, error){
		"refused": func(context.Context) (reconcile.Revision, error) {
			return reconcile.Revision{}, errors.New("connection refused")
		},
		"silent": func(ctx context.Context) (reconcile.Revision, error) {
			<-ctx.Done()
			return reconcile.Revision{}, ctx.Err()
		},
	}
	for name, poll := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hub{}
				p := newTestPoller(t, &remote{poll: poll, last: reconcile.Revision{Commit: "old"}}, h, &files{})
				defer polling(t.Context(), p)()
				<-p.begun
				if declared, _ := h.seen(); !reflect.DeepEqual(declared, []string{"old"}) {
					t.Errorf("declared %v", declared)
				}
			})
		})
	}
}

func TestNewestRevisionIsNotReplacedByTheLastGoodOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		source := &remote{last: reconcile.Revision{Commit: "old"}}
		source.poll = func(context.Context) (reconcile.Revision, error) {
			time.Sleep(2 * firstPatience)
			return reconcile.Revision{Commit: "new"}, nil
		}
		defer polling(t.Context(), newTestPoller(t, source, h, &files{}))()
		time.Sleep(time.Minute)
		if declared, _ := h.seen(); !reflect.DeepEqual(declared, []string{"old", "new"}) {
			t.Errorf("declared %v", declared)
		}
	})
}

func TestUnchangedRevisionIsLoadedOnceAndAgainWhenHostVariablesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, f := &hub{}, &files{}
		source := &remote{poll: func(context.Context) (reconcile.Revision, error) { return reconcile.Revision{Commit: "a"}, nil }}
		p := newTestPoller(t, source, h, f)
		defer polling(t.Context(), p)()
		for range 3 {
			if err := p.Poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if f.loads != 1 {
			t.Errorf("loaded %d times", f.loads)
		}
		f.stamp = "changed"
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if f.loads != 2 {
			t.Errorf("after a change: loaded %d times", f.loads)
		}
	})
}

func TestOutageIsToldOnceAndItsEndToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, down := &hub{}, true
		source := &remote{}
		source.poll = func(context.Context) (reconcile.Revision, error) {
			if down {
				return reconcile.Revision{}, reconcile.WithHint(errors.New("no route"), "plug it in")
			}
			return reconcile.Revision{Commit: "a"}, nil
		}
		p := newTestPoller(t, source, h, &files{})
		defer polling(t.Context(), p)()
		for range 3 {
			if err := p.Poll(t.Context()); err == nil {
				t.Fatal("no error")
			}
		}
		if s := p.State(); s.LastError != "no route (plug it in)" || s.LastFetch != nil || s.Source == "" {
			t.Errorf("state %+v", s)
		}
		down = false
		if err := p.Poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, events := h.seen(); !reflect.DeepEqual(events, []reconcile.EventKind{reconcile.EventSourceFailed, reconcile.EventSourceRecovered}) {
			t.Errorf("events %v", events)
		}
		if s := p.State(); s.LastError != "" || s.LastFetch == nil || s.Commit != "a" {
			t.Errorf("state %+v", s)
		}
	})
}

func TestFailedPollIsRepeatedSoonerThanTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := 0
		source := &remote{poll: func(context.Context) (reconcile.Revision, error) {
			if polls++; polls < 4 {
				return reconcile.Revision{}, fmt.Errorf("failure %d", polls)
			}
			return reconcile.Revision{Commit: "a"}, nil
		}}
		began := time.Now()
		p := newTestPoller(t, source, &hub{}, &files{})
		defer polling(t.Context(), p)()
		for p.State().Commit == "" {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("recovered after %s", took)
		}
	})
}

func TestPollOfAnEndingAgentDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &remote{poll: func(ctx context.Context) (reconcile.Revision, error) {
			<-ctx.Done()
			return reconcile.Revision{}, ctx.Err()
		}}
		p := newTestPoller(t, source, &hub{}, &files{})
		stop := polling(t.Context(), p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		stop()
	})
}
