package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// recallOwners reads whose each stack was. The caller holds l.mu.
func (l *Loop) recallOwners(ctx context.Context) error {
	if l.Memory == nil {
		return nil
	}
	owners, err := RecallOwners(ctx, l.Memory)
	if err != nil {
		return err
	}
	l.claims.owners = owners
	return nil
}

// settleOwners gives every declared stack to a source and writes down what is new
// of that. The caller holds l.mu.
func (l *Loop) settleOwners(ctx context.Context) error {
	l.claims.own()
	l.adopt()
	if !l.claims.unsaved || l.Memory == nil {
		return nil
	}
	text, err := json.Marshal(l.claims.owners)
	if err != nil {
		return fmt.Errorf("write down the owners of stacks: %w", err)
	}
	if err := l.Memory.Remember(ctx, ownersKey, string(text)); err != nil {
		return fmt.Errorf("write down the owners of stacks: %w", err)
	}
	l.claims.unsaved = false
	return nil
}

// adopt makes every declared stack known and has it follow what is declared for
// it. The caller holds l.mu.
func (l *Loop) adopt() {
	for name := range l.claims.by {
		if l.claims.holder(name) == nil {
			continue
		}
		s, p := l.stack(name), l.claims.project(name)
		if p == nil || s.declared == p.Hash {
			continue
		}
		s.declared, s.backoff, s.barred, s.retry, s.override = p.Hash, backoff{}, false, "", nil
		// What has begun in its window goes on to its end while nothing can take its place.
		if s.work != nil && s.work.declared != p.Hash && !l.facts(s, l.Now()).shut() {
			s.work.cancel(errSuperseded)
		}
	}
}

// declaredFor fills in what the sources say about a stack. The caller holds l.mu.
func (l *Loop) declaredFor(in *Situation) {
	d := l.claims.speaker(in.Stack)
	if d == nil {
		in.Orphaned = l.claims.owners[in.Stack].Orphaned
		if l.polled[l.claims.owners[in.Stack].Source].err == nil {
			in.Heard = l.began.Add(firstPoll)
		}
		return
	}
	in.Known, in.Revision, in.Broken = true, d.Revision, d.Broken[in.Stack]
	in.Declared, in.Removed = l.claims.project(in.Stack), l.claims.removed(in.Stack)
	if in.Declared == nil || len(in.Declared.Settings.DependsOn) == 0 {
		return
	}
	if err := l.claims.cycle(in.Stack); err != nil {
		in.Declared, in.Broken = nil, err
	}
}

// announceClashes reports every refused claim once. The caller holds l.mu.
func (l *Loop) announceClashes(now time.Time) {
	since := map[string]time.Time{}
	for _, r := range l.claims.refusals() {
		key := r.source + "\n" + r.Stack + "\n" + r.Err.Error()
		at, told := l.clashes[key]
		if !told {
			at = now
			l.Emit(Event{At: now, Stack: r.Stack, Kind: EventStalled, Severity: SeverityError, Message: Explanation(r.Err)})
		}
		since[key] = at
	}
	l.clashes = since
}

// withClashes adds a line for every refused claim behind the stack that has the
// name. The caller holds l.mu.
func (l *Loop) withClashes(stacks []StackStatus) []StackStatus {
	all := l.claims.refusals()
	if len(all) == 0 {
		return stacks
	}
	var out []StackStatus
	add := func(r refused) {
		st := StackStatus{Name: r.Stack, Source: r.source, Sync: SyncStalled, Health: ConditionUnknown, WaitingFor: Explanation(r.Err),
			Since: l.clashes[r.source+"\n"+r.Stack+"\n"+r.Err.Error()], Services: []ServiceStatus{}}
		if at := l.polled[r.source].at; !at.IsZero() {
			st.LastFetch = &at
		}
		out = append(out, st)
	}
	for _, st := range stacks {
		out = append(out, st)
		for i := 0; i < len(all); {
			if all[i].Stack != st.Name {
				i++
				continue
			}
			add(all[i])
			all = append(all[:i:i], all[i+1:]...)
		}
	}
	for _, r := range all {
		add(r)
	}
	return out
}
