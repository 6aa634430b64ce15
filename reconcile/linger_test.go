package reconcile_test

import (
	"maps"
	"slices"

	"davit/reconcile"
)

// lingers checks that no step of p stops a container that callers may know alone: after
// the last of the others got its service's name there is time to dial.
func (w *world) lingers(p reconcile.Plan) {
	before := ancestors(p)
	for _, stop := range p.Steps {
		i := slices.IndexFunc(w.containers, func(c reconcile.Container) bool { return c.ID == stop.Replica.ID })
		if stop.Kind != reconcile.StepStop || i < 0 || !answers(w.containers[i]) {
			continue
		}
		declared, _ := w.desired.Project.Service(stop.Service)
		if rules, _ := reconcile.ReplacementOf(declared, reconcile.Image{}, false, nil); !rules.StartFirst {
			continue
		}
		// waited reports whether there is time between a step, 0 for the beginning, and
		// the stop.
		waited := func(since int) bool {
			return slices.ContainsFunc(p.Steps, func(s reconcile.Step) bool {
				return s.Kind == reconcile.StepDelay && s.Wait >= reconcile.Linger && before[stop.ID][s.ID] && (since == 0 || before[s.ID][since])
			})
		}
		// Whoever was there before this plan may have got the name a moment ago.
		if w.stay(p, w.containers[i]) && !waited(0) {
			w.t.Fatalf("step %d does not wait for callers who know nobody else, in\n%s", stop.ID, p)
		}
		for _, join := range p.Steps {
			if join.Kind == reconcile.StepJoin && join.Service == stop.Service && before[stop.ID][join.ID] && !waited(join.ID) {
				w.t.Fatalf("step %d comes right after step %d, in\n%s", stop.ID, join.ID, p)
			}
		}
	}
}

// stay reports whether others than gone answer to its service's name all through p.
func (w *world) stay(p reconcile.Plan, gone reconcile.Container) bool {
	return slices.ContainsFunc(w.containers, func(c reconcile.Container) bool {
		stops := func(s reconcile.Step) bool { return s.Kind == reconcile.StepStop && s.Replica.ID == c.ID }
		return c.ID != gone.ID && c.Service == gone.Service && answers(c) && !slices.ContainsFunc(p.Steps, stops)
	})
}

// ancestors are, for each step, all that come before it.
func ancestors(p reconcile.Plan) map[int]map[int]bool {
	out := map[int]map[int]bool{}
	for _, s := range p.Steps {
		out[s.ID] = map[int]bool{}
		for _, id := range s.After {
			out[s.ID][id] = true
			maps.Copy(out[s.ID], out[id])
		}
	}
	return out
}
