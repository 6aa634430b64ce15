package reconcile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"davit/compose"
)

// holding is what the loop knows of a service's canary while a plan with one is carried
// out.
type holding struct {
	// hold is the step that is held, or was last; open is true while it is.
	hold  CanaryHold
	open  bool
	since time.Time
	waits string
	// asked is true once a person was asked to decide.
	asked bool
	// entered is when it was opened.
	entered time.Time
	// left is how many holds the plan still has.
	left int
	// changed is closed once an operator has decided something.
	changed chan struct{}
}

// holdings are the canaries of a plan, by service.
func holdings(p Plan, now time.Time) map[string]*holding {
	out := map[string]*holding{}
	for _, s := range p.Steps {
		switch h := out[s.Service]; {
		case s.Kind != StepHold:
		case h == nil:
			out[s.Service] = &holding{hold: s.Hold, left: 1, since: now, waits: "replicas of the new release", changed: make(chan struct{})}
		default:
			h.left++
		}
	}
	return out
}

// Hold implements Holder.
func (a *attempt) Hold(ctx context.Context, s Step) (Ruling, error) {
	a.yield() // others are not to wait for a canary
	h := a.enter(ctx, s)
	var found *Finding
	var findings chan Finding
	if analysing := a.analyse(ctx, s); analysing != nil {
		defer analysing.end()
		found, findings = &Finding{}, analysing.found
	}
	for {
		ruling, wait, changed := a.rule(h, s, found)
		if wait == 0 {
			return ruling, nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case f := <-findings:
			*found = f.after(*found)
		case <-ctx.Done():
			timer.Stop()
			return Ruling{}, ctx.Err()
		}
		timer.Stop()
	}
}

// enter writes down that a step is held from now on, unless it was before.
func (a *attempt) enter(ctx context.Context, s Step) *holding {
	l := a.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	st := a.stack.canaries[s.Service]
	if st.Content != s.Hold.Content {
		st = CanaryState{Content: s.Hold.Content}
	}
	if st.Weight != s.Hold.Weight || s.Hold.Since.IsZero() {
		st.Weight, st.Since, st.Promoted = s.Hold.Weight, l.Now(), ""
	}
	if err := l.rememberCanary(ctx, a.stack, s.Service, st); err != nil {
		// After a crash it is held for its whole time again, which does no harm.
		a.stack.logger.Warn("nobody will know since when a canary is held", "service", s.Service, "error", err)
	}
	h := a.stack.work.canaries[s.Service]
	h.hold, h.open, h.asked, h.since, h.entered = s.Hold, true, false, st.Since, l.Now()
	return h
}

// disturbed ends work on a stack of which the edge knows less than it was told: it lost
// its table, or the weight of a canary that is held. Nobody mends what is worked on, which
// may go on for days, and what is planned anew is told again. The caller holds l.mu.
func (l *Loop) disturbed(s *stack, lost bool) {
	if s.work == nil || l.observed.Edge == nil || l.observed.Edge.Away != "" {
		return
	}
	lost = lost && slices.ContainsFunc(l.observed.ownedBy(s.name, l.Instance), func(c Container) bool {
		// A load balancer that was told everything anew has lost nothing.
		r, _ := l.observed.Edge.Route(s.name, c.Service)
		return len(c.Edge) > 0 && c.Running() && !slices.ContainsFunc(r.Members, func(m Member) bool { return m.Draining.IsZero() })
	})
	for _, service := range s.canariesThat(func(h *holding) bool { return h.open && !h.hold.Batch && l.observed.At.After(h.entered) }) {
		r, _ := l.observed.Edge.Route(s.name, service)
		lost = lost || len(r.Weights) == 0
	}
	if lost {
		s.work.cancel(errTableLost)
	}
}

// tableLost reports whether the edge began anew without its table since the pass before.
// The caller holds l.mu.
func (l *Loop) tableLost() bool {
	t := l.observed.Edge
	if t == nil || t.Away != "" {
		return false
	}
	before := l.generation
	l.generation = t.Generation
	return t.Generation < before
}

// errTableLost ends work that is planned anew.
var errTableLost = errors.New("the edge has lost its table")

// suspense is what a hold waits for; the zero value says that it is over.
type suspense struct {
	waits string
	// left is how long nothing but a decision or a finding ends it.
	left time.Duration
	// somebody is true where nobody but a person does: it is asked for one.
	somebody bool
}

// untold is how long nothing but a decision of somebody ends a hold.
const untold = time.Hour

// rule says what becomes of the canary; a wait of 0 says that it is known.
func (a *attempt) rule(h *holding, s Step, f *Finding) (r Ruling, wait time.Duration, changed <-chan struct{}) {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	r, w := s.Hold.rule(a.stack.canaries[s.Service], f, a.loop.Now())
	if h.waits = w.waits; w.left == 0 {
		h.open, h.left = false, h.left-1
		h.waits, h.since = "replicas of the new release", a.loop.Now()
	}
	if w.somebody && !h.asked {
		h.asked = true
		a.loop.Emit(a.asks(s, w.waits))
	}
	return r, w.left, h.changed
}

// asks tells that a hold goes on until a person has decided.
func (a *attempt) asks(s Step, waits string) Event {
	e := a.event(EventUndecided, SeverityWarning, fmt.Sprintf("%s, %s, %d %%, waits for %s (`davit promote %s` or `davit abort %s`)",
		s.Service, s.Hold, s.Hold.Weight, waits, a.stack.name, a.stack.name))
	e.Service = s.Service
	return e
}

// rule is the decision about a canary: what is on record of it, what an analysis has
// found, nil for none, and the time.
func (h CanaryHold) rule(st CanaryState, f *Finding, now time.Time) (Ruling, suspense) {
	over := st.Since.Add(h.For)
	somebody := suspense{waits: "somebody to promote or abort it", left: untold, somebody: true}
	switch {
	case st.Aborted != "":
		return Ruling{Failed: true, Reason: "aborted by " + st.Aborted}, suspense{}
	case f != nil && f.Outcome == AnalysisFailed:
		return Ruling{Failed: true, Reason: f.Reason}, suspense{}
	case st.Promoted != "":
		return Ruling{Reason: "promoted by " + st.Promoted}, suspense{}
	case now.Before(over):
		return Ruling{}, suspense{waits: "the end of its hold at " + over.UTC().Format(time.TimeOnly) + f.meanwhile(), left: over.Sub(now)}
	case f != nil && (f.Outcome == AnalysisInconclusive || f.Outcome == AnalysisError):
		somebody.waits += ": " + f.Reason
		return Ruling{}, somebody
	case f != nil && f.Outcome == AnalysisRuns:
		return Ruling{}, suspense{waits: "its analysis: " + f.Reason, left: untold}
	case h.Manual:
		return Ruling{}, somebody
	}
	return Ruling{Reason: "held for " + brief(now.Sub(st.Since).Round(time.Second))}, suspense{}
}

// canaryKey is where what is known of a stack's canaries is remembered.
func canaryKey(stack string) string { return "canaries of " + stack }

// rememberCanary writes down how the canary of a service stands, or, for "", the release
// itself; for a zero one of "" all of the stack's are forgotten. What cannot be written counts all the same, for as long
// as the agent lives. The caller holds l.mu.
func (l *Loop) rememberCanary(ctx context.Context, s *stack, service string, st CanaryState) error {
	all := maps.Clone(s.canaries)
	forget := service == "" && st == CanaryState{}
	if all == nil || forget {
		all = map[string]CanaryState{}
	}
	if !forget {
		all[service] = st
	} else if len(s.canaries) == 0 {
		return nil
	}
	s.canaries = all
	if l.Memory == nil {
		return nil
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = l.Memory.Remember(ctx, canaryKey(s.name), string(text))
	}
	if err != nil {
		return fmt.Errorf("record the canaries of stack %s: %w", s.name, err)
	}
	return nil
}

// recallCanaries reads what is on record of a stack's canaries. The caller holds l.mu.
func (l *Loop) recallCanaries(ctx context.Context, s *stack) error {
	if l.Memory == nil {
		return nil
	}
	text, found, err := l.Memory.Recall(ctx, canaryKey(s.name))
	if err == nil && found {
		err = json.Unmarshal([]byte(text), &s.canaries)
	}
	if err != nil {
		return fmt.Errorf("read how its canaries stand: %w", err)
	}
	return nil
}

// forgetCanaries ends what was decided about canaries, once a release has come to an end
// that lasts. The caller holds l.mu.
func (l *Loop) forgetCanaries(ctx context.Context, s *stack) {
	if err := l.rememberCanary(ctx, s, "", CanaryState{}); err != nil {
		s.logger.Warn("not forgotten", "error", err)
	}
}

// forget is forgetCanaries for a release that was of something new.
func (a *attempt) forget(ctx context.Context) {
	if a.verdict.Act == ActKeep {
		return
	}
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if a.stack.unfinished == nil { // an agent that dies now has to know it all still
		a.loop.forgetCanaries(ctx, a.stack)
	}
}

// retreat gives what the canaries of a failed release got back to the others, before
// anything else is done about the failure.
func (a *attempt) retreat(ctx context.Context, result Result) {
	canaries := map[string][]Replica{}
	for _, s := range a.plan.Steps {
		if s.Kind != StepHold {
			continue
		}
		canaries[s.Service] = nil
		for _, r := range s.Hold.Canary {
			if r.ID == "" {
				r.ID = result.Containers[r]
			}
			canaries[s.Service] = append(canaries[s.Service], r)
		}
	}
	if err := a.loop.retreat(ctx, a.project, canaries); err != nil {
		// The plan of what comes next begins with it.
		a.stack.logger.Warn("the weight of a failed canary is not back yet", "error", err)
	}
}

// retreat gives what canaries get, by service, back to the others.
func (l *Loop) retreat(ctx context.Context, p *compose.Project, canaries map[string][]Replica) error {
	if l.Edge == nil || len(canaries) == 0 {
		return nil
	}
	_, err := l.Edge.Change(ctx, func(t EdgeTable) EdgeTable {
		for service, from := range canaries {
			declared, _ := p.Service(service)
			t = t.Retreated(p.Name, service, from, Shift{Limits: declared.Drain}, l.Now())
		}
		return t
	})
	if err != nil {
		return fmt.Errorf("take the weight of the canaries of stack %s back: %w", p.Name, err)
	}
	return nil
}
