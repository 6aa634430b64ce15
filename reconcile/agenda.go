package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// drillGrace is for how long after its time a drill is still held: one that was missed
// because the agent was down is not made up for in the middle of the day.
const drillGrace = time.Hour

// agenda is how far the schedule of a stack's drills has been kept.
type agenda struct {
	// Schedule is the one that this is of.
	Schedule string `json:"schedule"`
	// Settled is up to when every drill that was due was held, or will not be.
	Settled time.Time `json:"settled"`
	// unsaved says that it is not written down as it is.
	unsaved bool
}

// dueDrill orders the drill whose time has come, or skips it where something else is under
// way just then, and returns when the next one is due;
// zero for never. That it was held is read off the record: a drill that began is not
// ordered again, whoever died in it. The caller holds l.mu.
func (l *Loop) dueDrill(ctx context.Context, s *stack, now time.Time) time.Time {
	p := l.claims.project(s.name)
	if p == nil || !s.loaded || l.ObserveOnly || p.Settings.Drill.Cron == "" {
		return time.Time{}
	}
	d := p.Settings.Drill
	if s.agenda.Schedule != d.String() {
		s.agenda = agenda{Schedule: d.String(), Settled: now, unsaved: true}
	}
	if held := lastScheduled(s.history); held.After(s.agenda.Settled) {
		s.agenda.Settled = held
	}
	l.saveAgenda(ctx, s)
	next, err := d.Next(s.agenda.Settled)
	switch {
	case err != nil || next.IsZero() || next.After(now):
		return next
	case s.drill != nil:
		return time.Time{} // it is asked again when that has begun
	}
	// The last one that is still worth holding; of several that were missed one is enough.
	recent, err := d.Next(later(s.agenda.Settled, now.Add(-drillGrace)))
	switch {
	case err != nil:
		return time.Time{}
	case recent.IsZero() || recent.After(now):
		l.skipDrill(ctx, s, fmt.Sprintf("the agent did not run when it was due, %s", day(next, now)))
		return recent
	}
	if _, err := l.orderDrill(s, DrillRequest{Stack: s.name, Actor: "schedule"}, TriggerSchedule); err != nil {
		l.skipDrill(ctx, s, Explanation(err))
	}
	return time.Time{} // and when this one has
}

// skipDrill says that the drill which is due is not held. The caller holds l.mu.
func (l *Loop) skipDrill(ctx context.Context, s *stack, why string) {
	s.agenda.Settled, s.agenda.unsaved = l.Now(), true
	l.saveAgenda(ctx, s)
	l.event(s, EventDrillSkipped, SeverityWarning, "the drill that was due is not held: "+l.Scrub(why))
}

// lastScheduled is when the newest drill was ordered that the schedule asked for; zero
// where there is none.
func lastScheduled(history []Release) time.Time {
	for _, r := range history {
		if r.Kind == KindDrill && r.Trigger == TriggerSchedule && !r.comesBack(history) {
			return r.Started
		}
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// agendaKey is where a stack's agenda is remembered.
func agendaKey(stack string) string { return "drills of " + stack }

// saveAgenda writes the agenda down. What cannot be written counts for as long as the agent
// lives, and is tried again. The caller holds l.mu.
func (l *Loop) saveAgenda(ctx context.Context, s *stack) {
	if !s.agenda.unsaved || l.Memory == nil {
		return
	}
	text, err := json.Marshal(s.agenda)
	if err == nil {
		err = l.Memory.Remember(ctx, agendaKey(s.name), string(text))
	}
	if s.agenda.unsaved = err != nil; err != nil {
		s.logger.Warn("nobody will know which drills were due", "error", err)
	}
}

// recallDrills reads how far a stack's schedule of drills has been kept. The caller holds
// l.mu.
func (l *Loop) recallDrills(ctx context.Context, s *stack) error {
	if l.Memory == nil {
		return nil
	}
	text, found, err := l.Memory.Recall(ctx, agendaKey(s.name))
	if err == nil && found {
		err = json.Unmarshal([]byte(text), &s.agenda)
	}
	if err != nil {
		return fmt.Errorf("read which drills were due: %w", err)
	}
	return nil
}
