package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"davit/reconcile"
	"davit/web"
)

// backlog is how many events may wait to be recorded before step events, which
// only a watcher misses, are left out.
const backlog = 10_000

// recordAgain is the pause between two attempts to record what a full disk kept
// back.
const recordAgain = 5 * time.Second

// recorder writes an event down and puts in line what is to be sent about it.
type recorder interface {
	Record(ctx context.Context, e reconcile.Event) error
}

// stream is the one way of events: from the loop, the source and the engine to
// the log, the record, the receivers of notifications and the API's readers. The
// sender never waits: a slow disk must not slow a rollout down.
type stream struct {
	logger   *slog.Logger
	recorder recorder
	bell     *web.Bell
	// watch sees every event at once, one at a time; nil for nobody.
	watch func(reconcile.Event)
	// scrub takes secrets out of messages; nil leaves them as they are.
	scrub func(string) string

	mu      sync.Mutex
	waiting []reconcile.Event
	closed  bool
	more    chan struct{}
}

func newStream(logger *slog.Logger, r recorder, bell *web.Bell) *stream {
	return &stream{logger: logger, recorder: r, bell: bell, more: make(chan struct{}, 1)}
}

// emit logs e and has it recorded soon, in the order of the calls.
func (s *stream) emit(e reconcile.Event) {
	if s.scrub != nil {
		e.Message = s.scrub(e.Message)
	}
	s.log(e)
	s.mu.Lock()
	if s.watch != nil {
		s.watch(e)
	}
	if len(s.waiting) < backlog || !strings.HasPrefix(string(e.Kind), "Step") {
		s.waiting = append(s.waiting, e)
	}
	s.mu.Unlock()
	s.poke()
}

func (s *stream) poke() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// close makes run return once everything is recorded.
func (s *stream) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.poke()
}

// run records events until close.
func (s *stream) run(ctx context.Context) {
	again := time.NewTicker(recordAgain)
	defer again.Stop()
	troubled := false
	for {
		select {
		case <-s.more:
		case <-again.C: // for what a full disk kept back
		}
		events, closed := s.take()
		if len(events) > 0 {
			left, err := s.record(ctx, events)
			if err != nil && !troubled {
				s.logger.Error("events are not recorded", "error", err)
			}
			troubled = err != nil
			s.keep(left)
			s.bell.Ring()
		}
		if closed {
			return
		}
	}
}

// record writes events down and returns those that wait for room on the disk: who
// shall be told of a failed release is told late rather than never.
func (s *stream) record(ctx context.Context, events []reconcile.Event) (left []reconcile.Event, problem error) {
	for i, e := range events {
		err := s.recorder.Record(ctx, e)
		if errors.Is(err, reconcile.ErrDiskFull) {
			return events[i:], err
		}
		if err != nil {
			problem = err
		}
	}
	return nil, problem
}

func (s *stream) take() (events []reconcile.Event, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, s.waiting = s.waiting, nil
	return events, s.closed
}

// keep puts events back in front of those that came since.
func (s *stream) keep(events []reconcile.Event) {
	if len(events) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(events, s.waiting...)
}

func (s *stream) log(e reconcile.Event) {
	level := slog.LevelInfo
	switch {
	case e.Severity == reconcile.SeverityError:
		level = slog.LevelError
	case e.Severity == reconcile.SeverityWarning:
		level = slog.LevelWarn
	case strings.HasPrefix(string(e.Kind), "Step"):
		level = slog.LevelDebug
	}
	args := []any{"kind", e.Kind, "what", e.Message}
	for _, kv := range [][2]string{{"stack", e.Stack}, {"service", e.Service}, {"version", e.Version}, {"commit", e.Commit}} {
		if kv[1] != "" {
			args = append(args, kv[0], kv[1])
		}
	}
	if e.Seq != 0 {
		args = append(args, "release", e.Seq)
	}
	s.logger.Log(context.Background(), level, "event", args...)
}
