package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// handoversKey is where the agreements are kept.
const handoversKey = "ports handed over"

// handover says when the ports of s may move from Docker to the edge. A project that
// was taken over keeps them until an operator agrees, be it with the adoption or
// later. The caller holds l.mu.
func (l *Loop) handover(s *stack) Handover {
	history := s.history
	if i := slices.IndexFunc(history, Release.removes); i >= 0 {
		history = history[:i]
	}
	i := slices.IndexFunc(history, Release.takesOver)
	switch {
	case i < 0:
		return HandoverWhenReplaced
	case history[i].Trigger == TriggerCLI, l.handedOver[s.name] >= history[i].Seq:
		return HandoverNow
	}
	return HandoverNever
}

// keepsPorts reports whether all that an operator could still agree to is that the
// edge gets the ports of s. The caller holds l.mu.
func (l *Loop) keepsPorts(s *stack) bool {
	ours := slices.ContainsFunc(l.observed.Containers, func(c Container) bool { return c.Stack == s.name && c.Instance == l.Instance })
	return l.Edge != nil && !l.observed.Edge.edgeless() && s.work == nil && ours && l.handover(s) == HandoverNever
}

// agreeToHandover records an operator's word that the edge may have the ports of s.
// The caller holds l.mu.
func (l *Loop) agreeToHandover(ctx context.Context, s *stack, r AdoptRequest) error {
	l.handedOver[s.name] = s.history[0].Seq
	if l.Memory != nil {
		text, err := json.Marshal(l.handedOver)
		if err == nil {
			err = l.Memory.Remember(ctx, handoversKey, string(text))
		}
		if err != nil {
			delete(l.handedOver, s.name)
			return fmt.Errorf("record that the ports of stack %s are handed over: %w", s.name, err)
		}
	}
	l.event(s, EventAdopted, SeverityInfo, r.Actor+" agreed that its published ports move from Docker to the edge")
	s.backoff = backoff{}
	l.poke()
	return nil
}

// recallHandovers reads what operators agreed to. The caller holds l.mu.
func (l *Loop) recallHandovers(ctx context.Context) error {
	if l.Memory == nil {
		return nil
	}
	text, found, err := l.Memory.Recall(ctx, handoversKey)
	if err == nil && found {
		err = json.Unmarshal([]byte(text), &l.handedOver)
	}
	if err != nil {
		return fmt.Errorf("read whose ports are handed over: %w", err)
	}
	return nil
}
