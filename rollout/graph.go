package rollout

import (
	"fmt"
	"slices"

	"davit/reconcile"
)

// graph knows which steps may begin. It has no locks: one goroutine owns it.
type graph struct {
	steps map[int]reconcile.Step
	// missing counts, for every step that has not begun, the prerequisites that
	// have not succeeded.
	missing    map[int]int
	dependents map[int][]int
	// ready are the steps that miss nothing and have not begun, in plan order.
	ready []int
	// left counts the steps that have not succeeded.
	left int
}

// newGraph refuses a plan of which some step could never begin.
func newGraph(steps []reconcile.Step) (*graph, error) {
	g := &graph{
		steps:      make(map[int]reconcile.Step, len(steps)),
		missing:    make(map[int]int, len(steps)),
		dependents: make(map[int][]int, len(steps)),
		left:       len(steps),
	}
	for _, s := range steps {
		if _, twice := g.steps[s.ID]; twice {
			return nil, fmt.Errorf("two steps are numbered %d", s.ID)
		}
		g.steps[s.ID] = s
	}
	for _, s := range steps {
		for _, id := range s.After {
			if _, known := g.steps[id]; !known {
				return nil, fmt.Errorf("step %d comes after step %d, which does not exist", s.ID, id)
			}
			g.dependents[id] = append(g.dependents[id], s.ID)
		}
		g.missing[s.ID] = len(s.After)
		if len(s.After) == 0 {
			g.ready = append(g.ready, s.ID)
		}
	}
	slices.Sort(g.ready)
	if stuck := g.unreachable(); len(stuck) > 0 {
		return nil, fmt.Errorf("steps %v wait for one another", stuck)
	}
	return g, nil
}

// unreachable returns the steps on a cycle and those behind one.
func (g *graph) unreachable() []int {
	missing := make(map[int]int, len(g.missing))
	for id, n := range g.missing {
		missing[id] = n
	}
	for queue := slices.Clone(g.ready); len(queue) > 0; queue = queue[1:] {
		delete(missing, queue[0])
		for _, d := range g.dependents[queue[0]] {
			if missing[d]--; missing[d] == 0 {
				queue = append(queue, d)
			}
		}
	}
	var stuck []int
	for id := range missing {
		stuck = append(stuck, id)
	}
	slices.Sort(stuck)
	return stuck
}

// next takes the first step that may begin and that admit lets through.
func (g *graph) next(admit func(reconcile.Step) bool) (reconcile.Step, bool) {
	for i, id := range g.ready {
		if s := g.steps[id]; admit(s) {
			g.ready = slices.Delete(g.ready, i, i+1)
			return s, true
		}
	}
	return reconcile.Step{}, false
}

// succeeded records that a step succeeded. It is the only thing that lets
// another step begin.
func (g *graph) succeeded(id int) {
	g.left--
	for _, d := range g.dependents[id] {
		if g.missing[d]--; g.missing[d] == 0 {
			at, _ := slices.BinarySearch(g.ready, d)
			g.ready = slices.Insert(g.ready, at, d)
		}
	}
}
