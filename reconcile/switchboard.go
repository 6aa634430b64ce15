package reconcile

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"
)

// ErrEdgeUnavailable says that nobody answers for the edge.
var ErrEdgeUnavailable = errors.New("the edge does not answer")

// edgeLimit is how long the edge may take over one call. It answers within
// milliseconds while it lives.
const edgeLimit = 10 * time.Second

// Switchboard is the one hand at the edge's table, which has the routes of all
// stacks: changes to it come one after the other, each made from what the edge serves
// then.
type Switchboard struct {
	edge Edge
	turn chan struct{} // holds one value while nobody changes anything

	mu sync.Mutex
	// changed is when the routes of a stack were changed last.
	changed map[string]time.Time
}

// NewSwitchboard returns the switchboard of an edge.
func NewSwitchboard(e Edge) *Switchboard {
	s := &Switchboard{edge: e, turn: make(chan struct{}, 1), changed: map[string]time.Time{}}
	s.turn <- struct{}{}
	return s
}

// Look returns what the edge serves.
func (s *Switchboard) Look(ctx context.Context) (EdgeTable, error) {
	ctx, cancel := context.WithTimeout(ctx, edgeLimit)
	defer cancel()
	t, err := s.edge.Look(ctx)
	if err != nil {
		return EdgeTable{}, fmt.Errorf("look at the edge: %w", err)
	}
	return t, nil
}

// Change makes the edge serve what change makes of its table, and returns that once
// it holds for everything that begins. A change that changes nothing is not made.
func (s *Switchboard) Change(ctx context.Context, change func(EdgeTable) EdgeTable) (EdgeTable, error) {
	ctx, cancel := context.WithTimeout(ctx, edgeLimit)
	defer cancel()
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return EdgeTable{}, fmt.Errorf("change the edge's table: %w: %w", ErrEdgeUnavailable, ctx.Err())
	}
	before, err := s.Look(ctx)
	if err != nil {
		return EdgeTable{}, err
	}
	after := change(before)
	if before.Generation > 0 && after.same(before) {
		return before, nil
	}
	after.Generation = before.Generation + 1
	if err := s.edge.Apply(ctx, after); err != nil {
		return EdgeTable{}, fmt.Errorf("apply table %d to the edge: %w", after.Generation, err)
	}
	s.note(before, after)
	return after, nil
}

// note keeps when the routes of stacks were changed.
func (s *Switchboard) note(before, after EdgeTable) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, routes := range [][]Route{before.Routes, after.Routes} {
		for _, r := range routes {
			was, _ := before.Route(r.Stack, r.Service)
			if is, _ := after.Route(r.Stack, r.Service); !reflect.DeepEqual(was, is) {
				s.changed[r.Stack] = time.Now()
			}
		}
	}
}

// newer reports whether the routes of a stack were changed after at: what was observed
// then says nothing about them.
func (s *Switchboard) newer(stack string, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.changed[stack].Before(at)
}
