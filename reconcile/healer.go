package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// noteAilments keeps the record of healing up with what a plan has found, and returns when
// the next change of it is due. Its caller holds l.mu.
func (l *Loop) noteAilments(ctx context.Context, s *stack, p Plan, now time.Time) (next time.Time) {
	if p.Project == nil {
		return time.Time{}
	}
	all := maps.Clone(s.healing)
	for _, service := range p.Project.Services {
		h, known := all[service.Name]
		if known && h.Content != p.Project.Hash {
			delete(all, service.Name)
			h, known = HealingState{}, false
		}
		ill := p.ailing(service.Name)
		switch {
		case len(ill) > 0:
			if h = l.ill(s, service, h, ill, now); !h.blank() {
				h.Content = p.Project.Hash
				all = with(all, service.Name, h)
			}
		case !known:
		case h.Well.IsZero():
			h.Well = now
			all = with(all, service.Name, h)
			next = sooner(next, now.Add(compose.HealingWindow))
		case now.Sub(h.Well) < compose.HealingWindow:
			next = sooner(next, h.Well.Add(compose.HealingWindow))
		default:
			delete(all, service.Name)
			if !h.GivenUp.IsZero() {
				l.event(s, EventReleased, SeverityInfo, fmt.Sprintf("%s has been well for %s: it is healed again where it has to be", service.Name, brief(compose.HealingWindow)))
			}
		}
	}
	l.rememberHealing(ctx, s, all)
	return next
}

// ill is h for a service of which something is wrong.
func (l *Loop) ill(s *stack, service compose.Service, h HealingState, ill []Ailment, now time.Time) HealingState {
	h.Well = time.Time{}
	hopeless := !slices.ContainsFunc(ill, func(a Ailment) bool { return a.Healed || !a.Next.IsZero() })
	if service.Settings.Healing.Off || !hopeless || !h.GivenUp.IsZero() {
		return h
	}
	h.GivenUp, h.Reason = now, ailments(ill)
	e := Event{At: now, Stack: s.name, Service: service.Name, Kind: EventDegraded, Severity: SeverityError, Message: h.text(service.Name) + "; " + h.wayOut(s.name)}
	l.Emit(e)
	return h
}

// blank reports whether there is nothing to be remembered.
func (h HealingState) blank() bool { return len(h.Attempts) == 0 && h.GivenUp.IsZero() }

// text says that the service is given up, and why.
func (h HealingState) text(service string) string {
	return fmt.Sprintf("%s is not healed any more after %d attempts within %s: %s", service, len(h.Attempts), brief(compose.HealingWindow), h.Reason)
}

func (h HealingState) wayOut(stack string) string {
	return fmt.Sprintf("it is again once its content has changed, after `davit retry %s`, or when it has been well for %s", stack, brief(compose.HealingWindow))
}

func ailments(all []Ailment) string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return strings.Join(out, "; ")
}

func with(all map[string]HealingState, service string, h HealingState) map[string]HealingState {
	if all == nil {
		all = map[string]HealingState{}
	}
	all[service] = h
	return all
}

// healedNow counts the attempt at what was wrong, however it ended.
func (a *attempt) healedNow(ctx context.Context) {
	healed := a.first.healed()
	if len(healed) == 0 {
		return
	}
	l := a.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	all, now := maps.Clone(a.stack.healing), l.Now()
	for _, one := range healed {
		service := one.Replica.Service
		h := all[service]
		if h.Content != a.project.Hash {
			h = HealingState{Content: a.project.Hash}
		}
		if n := len(h.Attempts); n > 0 && h.Attempts[n-1].Equal(now) {
			continue // another replica of the same service
		}
		h.Attempts, h.Reason, h.Well = append(h.recent(now), now), one.String(), time.Time{}
		all = with(all, service, h)
	}
	l.rememberHealing(ctx, a.stack, all)
}

// discarded adds to the record the containers that others have replaced because something
// was wrong with them: nobody is to start them again. What was well again before it came to
// that runs on.
func (a *attempt) discarded(rec *ServiceRecord) {
	for _, one := range a.first.healed() {
		id := one.Replica.ID
		if one.Replaced && rec.Name == one.Replica.Service && !slices.Contains(slices.Concat(rec.Failed, rec.Containers), id) {
			rec.Failed = append(rec.Failed, id)
		}
	}
}

// unhealed adds to the record the container that was made to take the place of another
// one and failed itself; and what was replaced of services whose successors are ready.
func (a *attempt) unhealed(rec *ServiceRecord, result Result) {
	f := result.Failure
	if _, ready := result.Gates[rec.Name]; ready && rec.Name != f.Step.Service {
		a.discarded(rec)
	}
	if a.first.heals(rec.Name) && rec.Name == f.Step.Service && created(result, f.Container) && !slices.Contains(rec.Failed, f.Container) {
		rec.Failed = append(rec.Failed, f.Container)
	}
}

// rememberHealing writes the record of a stack's healing down, if it is news. The caller
// holds l.mu.
func (l *Loop) rememberHealing(ctx context.Context, s *stack, all map[string]HealingState) {
	before, err := json.Marshal(s.healing)
	if err != nil {
		s.logger.Warn("healing not recorded", "error", err)
		return
	}
	text, err := json.Marshal(all)
	if err == nil && (string(before) == string(text) || len(s.healing)+len(all) == 0) {
		return
	}
	s.healing = all
	if err == nil && l.Memory != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
		defer cancel()
		err = l.Memory.Remember(ctx, healingKey(s.name), string(text))
	}
	if err != nil {
		// An agent that dies now tries once more often than it should.
		s.logger.Warn("healing not recorded", "error", err)
	}
}

// recallHealing reads what is on record of a stack's healing. The caller holds l.mu.
func (l *Loop) recallHealing(ctx context.Context, s *stack) error {
	if l.Memory == nil {
		return nil
	}
	text, found, err := l.Memory.Recall(ctx, healingKey(s.name))
	if err == nil && found {
		err = json.Unmarshal([]byte(text), &s.healing)
	}
	if err != nil {
		return fmt.Errorf("read how often it was healed: %w", err)
	}
	return nil
}

// healingKey is where what is known of a stack's healing is remembered.
func healingKey(stack string) string { return "healing of " + stack }

// HealingStatus is how often a service was healed, and whether it will be.
type HealingStatus struct {
	// Attempts is how many there were within the last hour.
	Attempts int `json:"attempts"`
	// Reason is what was wrong last.
	Reason string `json:"reason"`
	// Next is when there may be another one, where one has to wait; GivenUp is since when
	// there is to be none.
	Next    *time.Time `json:"next"`
	GivenUp *time.Time `json:"given_up"`
}

// String is for people: "once within 1h: web/1: unhealthy for 30s".
func (h HealingStatus) String() string {
	times := "once"
	if h.Attempts != 1 {
		times = fmt.Sprintf("%d times", h.Attempts)
	}
	text := fmt.Sprintf("%s within %s: %s", times, brief(compose.HealingWindow), h.Reason)
	if h.Next != nil {
		text += "; again at " + h.Next.UTC().Format(time.TimeOnly)
	}
	return text
}

// healingStatus is that of a service, nil for one that was not healed.
func (s *stack) healingStatus(service compose.Service, content string, now time.Time) *HealingStatus {
	h := s.healing[service.Name]
	if h.Content != content || h.blank() {
		return nil
	}
	out := &HealingStatus{Attempts: len(h.recent(now)), Reason: h.Reason}
	if !h.GivenUp.IsZero() {
		out.GivenUp = &h.GivenUp
	} else if next, more := h.next(service.Settings.Healing, now); more && h.Well.IsZero() && next.After(now) {
		out.Next = &next
	}
	return out
}

// hopeless names the services of a stack that are not healed any more, for its status; ""
// when there is none.
func (st StackStatus) hopeless() string {
	var out []string
	for _, service := range st.Services {
		if h := service.Healing; h != nil && h.GivenUp != nil {
			out = append(out, "not healed any more: "+h.Reason)
		}
	}
	return strings.Join(out, "; ")
}
