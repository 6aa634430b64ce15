package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"davit/compose"
)

// changes is how many replicas of each service the rollout changes, or has changed.
func (p *planner) changes() map[string]int {
	out := map[string]int{}
	for _, name := range p.sequence {
		u := p.units[name]
		n := len(u.fleet.idle) + u.fleet.missing
		for _, c := range u.fleet.current {
			if !p.untouched(u, c) {
				n++
			}
		}
		out[name] = n
	}
	return out
}

// gaps are the services of which nothing runs for a moment, with why: all replicas stop
// before the first of their successors starts, or have none.
func (p *planner) gaps() map[string]string {
	out := map[string]string{}
	for _, name := range p.sequence {
		u := p.units[name]
		switch {
		case u.OneShot || u.Replicas == 0:
		case len(u.fleet.old) > 0 && !u.rules.StartFirst && u.rules.Unavailable >= u.Replicas:
			out[name] = u.rules.String()
		case len(u.halted) >= u.Replicas:
			out[name] = u.halted[sortedKeys(u.halted)[0]]
		}
	}
	for _, c := range p.owned {
		if p.units[c.Service] == nil && p.stopped[c.ID] > 0 {
			out[c.Service] = "no longer declared"
		}
	}
	return out
}

// tolerance is how a failed replica stands against what its service tolerates.
type tolerance struct {
	// failed are the containers of this content that have failed, each once; of is how
	// many replicas the rollout changes.
	failed []string
	of     int
	rules  compose.Rolling
	// still is how long one was waited for and none has become ready, limit how long that
	// may last.
	still, limit time.Duration
}

// tolerates reports whether the rollout goes on. A ratio that is reached is tolerated,
// one that is exceeded is not.
func (t tolerance) tolerates() bool {
	within := t.rules.MaxFailureRatio > 0 && float32(len(t.failed))/float32(max(t.of, 1)) <= t.rules.MaxFailureRatio
	return (within || t.rules.OnFailure == compose.FailureContinue) && t.still < t.limit
}

// String says what was counted: "1 of 4 replicas failed, max_failure_ratio 0.25".
func (t tolerance) String() string {
	text := fmt.Sprintf("%d of %d replicas failed, max_failure_ratio %v", len(t.failed), t.of, t.rules.MaxFailureRatio)
	if t.rules.OnFailure == compose.FailureContinue {
		text += ", failure_action continue"
	}
	if t.still >= t.limit {
		text += ", and none has become ready for " + brief(t.still.Round(time.Second))
	}
	return text
}

// toleranceOf weighs a failure. It is false for what no other container would mend, and
// for a correction of drift, which is tried again in any case.
func (a *attempt) toleranceOf(f *Failure, o Observed) (tolerance, bool) {
	s, ok := a.project.Service(f.Step.Service)
	if !ok || s.OneShot || f.Container == "" || a.verdict.Act == ActKeep || f.Step.Replica.Service != s.Name {
		return tolerance{}, false
	}
	t := tolerance{failed: a.failures(s.Name), of: a.plan.Changes[s.Name], rules: s.Settings.Update,
		still: a.lacking(s, o), limit: s.Settings.ProgressTimeout}
	if a.verdict.Act == ActReturn && a.verdict.Kind != KindRollback {
		t.rules = s.Settings.Rollback
	}
	if !slices.Contains(t.failed, f.Container) {
		t.failed = append(t.failed, f.Container)
	}
	return t, t.rules.MaxFailureRatio > 0 || t.rules.OnFailure == compose.FailureContinue
}

// failures are the containers of the service that have failed in this rollout, that of
// an agent which died in it included.
func (a *attempt) failures(service string) []string {
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	var out []string
	for _, r := range a.tries() {
		rec, _ := r.Service(service)
		for _, id := range rec.Failed {
			if !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	return out
}

// tries are this attempt and those before it that were cut off at the same content,
// newest first. The caller holds the loop's mu.
func (a *attempt) tries() []Release {
	var out []Release
	for _, r := range a.stack.history {
		if r.Spec != a.release.Spec || r.Kind != a.release.Kind || r.Seq != a.release.Seq && r.Outcome != Interrupted {
			break
		}
		out = append(out, r)
	}
	return out
}

// lack is how long a replica of a service had been waited for in vain when an execution
// ended. Holds, delays and whatever else comes before one is waited for is none.
type lack struct {
	service string
	ended   time.Time
	waited  time.Duration
}

// lack notes what result lacks. A replica that was ready for as long as may pass without
// progress, and failed then, was not in vain.
func (a *attempt) lack(result Result) {
	failed := result.Failure.Step
	for service, waited := range result.Waited {
		declared, _ := a.project.Service(service)
		held := service == failed.Service && failed.Kind == StepMonitor && waited >= declared.Settings.ProgressTimeout
		if !held {
			a.lacks = append(a.lacks, lack{service, a.loop.Now(), waited})
		}
	}
}

// lacking is how long replicas of s have been waited for since the last one that is ready
// now was started, or in all.
func (a *attempt) lacking(s compose.Service, o Observed) time.Duration {
	var last time.Time
	for _, c := range o.ownedBy(a.stack.name, a.loop.Instance) {
		good := c.Service == s.Name && c.Spec == s.Hash && readyByItself(c) && c.Findable()
		if good && c.Release >= a.release.Seq && c.Started.After(last) {
			last = c.Started
		}
	}
	var all time.Duration
	for _, l := range a.lacks {
		if l.service == s.Name && l.ended.After(last) {
			all += l.waited
		}
	}
	return all
}

// forgive writes down that a replica failed and is replaced by another one: whoever
// goes on after a crash knows how many there were.
func (a *attempt) forgive(ctx context.Context, f *Failure, t tolerance) error {
	r := a.release
	r.Services = slices.Clone(r.Services)
	for i := range r.Services {
		if rec := &r.Services[i]; rec.Name == f.Step.Service && !slices.Contains(rec.Failed, f.Container) {
			rec.Failed = append(slices.Clone(rec.Failed), f.Container)
			rec.Logs, rec.Outcome = f.Logs, f.Reason
		}
	}
	r.Outcome, r.Finished, r.Failure = Interrupted, a.loop.Now(), a.loop.Scrub(f.Reason)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	if err := a.loop.History.Finish(ctx, r); err != nil {
		return fmt.Errorf("record a tolerated failure of stack %s: %w", a.stack.name, err)
	}
	r.Outcome, r.Finished, r.Failure = OutcomeRunning, time.Time{}, ""
	r, err := a.loop.History.Begin(ctx, r)
	if err != nil {
		return fmt.Errorf("record that a release of stack %s goes on: %w", a.stack.name, err)
	}
	a.release = r
	a.loop.mu.Lock()
	if s := a.stack; len(s.history) > 0 && s.history[0].Seq == r.Seq {
		s.history = slices.Clone(s.history)
		s.history[0] = r
	}
	a.loop.mu.Unlock()
	a.loop.Emit(a.event(EventReplicaFailed, SeverityWarning, fmt.Sprintf("%s; tolerated: %s; another one takes its place", strings.TrimSuffix(f.Reason, "."), t)))
	return nil
}
