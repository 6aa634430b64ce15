package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// stops reports whether an operator wants a container of the service to stay
// stopped; with no container, whether all of the service.
func (d Desired) stops(service, container string) bool {
	return stopped(d.Stopped, service, container)
}

func stopped(stops []Stop, service, container string) bool {
	return slices.ContainsFunc(stops, func(s Stop) bool {
		return s.Service == service && (s.Container == "" || container != "" && s.Container == container)
	})
}

// noteStops writes down what somebody stopped of the current release, which is a
// wish to be respected after a restart of the agent too, and forgets the stops that
// are over. The caller holds l.mu.
func (l *Loop) noteStops(ctx context.Context, s *stack, o Observed) error {
	now := current(s.history)
	if now == nil {
		return nil
	}
	content, failed := lastContent(s.history), failedContainers(s.history)
	owned := o.ownedBy(s.name, l.Instance)
	var kept []Stop
	for _, stop := range s.controls.Stops {
		over, why := stop.over(content, owned)
		if !over {
			kept = append(kept, stop)
		} else if why != "" {
			l.event(s, EventReleased, SeverityInfo, why)
		}
	}
	for _, c := range owned {
		rec, _ := now.Service(c.Service)
		if !c.Finished.After(s.lifted[c.Service]) {
			continue // somebody has said since that it is to run
		}
		if _, gone := failed[c.ID]; gone || !c.StopByHand || c.State != Exited || rec.Spec != c.Spec || rec.Image.ID != c.ImageID || stopped(kept, c.Service, c.ID) {
			continue
		}
		kept = append(kept, Stop{Service: c.Service, Container: c.ID, Seq: content, Since: l.Now()})
		l.event(s, EventStopped, SeverityWarning, fmt.Sprintf("%s was stopped by an operator and stays so until it is started, or the next release", replicaOf(c)))
	}
	return l.setStops(ctx, s, kept)
}

// look observes. What an operator has stopped since the pass is noted for a correction,
// which would start it again.
func (a *attempt) look(ctx context.Context) (Observed, error) {
	observed, err := a.loop.Engine.Observe(ctx)
	if err != nil || a.verdict.Act != ActKeep {
		return observed, err
	}
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	return observed, a.loop.noteStops(ctx, a.stack, observed)
}

// setStops stores what is stopped, if that is news. The caller holds l.mu.
func (l *Loop) setStops(ctx context.Context, s *stack, stops []Stop) error {
	slices.SortFunc(stops, func(a, b Stop) int {
		return strings.Compare(a.Service+"\n"+a.Container, b.Service+"\n"+b.Container)
	})
	if slices.Equal(stops, s.controls.Stops) {
		return nil
	}
	if err := l.Decisions.SetStops(ctx, s.name, stops); err != nil {
		return fmt.Errorf("note what is stopped of stack %s: %w", s.name, err)
	}
	s.controls.Stops = stops
	return nil
}

// lastContent is the sequence number of the newest release with a content of its own:
// one that begins ends every stop, a correction of drift does not.
func lastContent(history []Release) int64 {
	for _, r := range history {
		if r.Kind != KindNoop && r.Kind != KindDriftFix {
			return r.Seq
		}
	}
	return 0
}

// over reports whether the stop has ended, and what is to be said about it.
func (s Stop) over(content int64, owned []Container) (over bool, why string) {
	if s.Seq != content {
		return true, ""
	}
	there := s.Container == ""
	for _, c := range owned {
		if c.Service != s.Service || s.Container != "" && s.Container != c.ID {
			continue
		}
		there = true
		if c.Running() && c.Started.After(s.Since) {
			return true, fmt.Sprintf("%s was started by somebody: it is kept up again", replicaOf(c))
		}
	}
	return !there, ""
}

// stopText says what an operator stopped, for the status; "" when nothing.
func stopText(stops []Stop, owned []Container) string {
	var names []string
	for _, s := range stops {
		name := s.Service
		for _, c := range owned {
			if c.ID == s.Container {
				name = replicaOf(c).String()
			}
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	return "stopped by operator: " + strings.Join(names, ", ")
}

// haltable reports whether a pass may stop what is recorded as stopped: an operator's word
// counts where everything else is left as it is, but not while the stack is suspended.
func (s Situation) haltable(v Verdict) bool {
	suspended := s.Controls.Suspension != nil && s.Controls.Suspension.Active(s.Now)
	return v.Current != nil && s.Owner == "" && !suspended
}
