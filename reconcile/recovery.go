package reconcile

import (
	"fmt"
	"time"
)

// How long it takes to be back: from the order, or from the failure that was the order, to
// the moment when all that came back serves, gates passed and traffic shifted. What is
// drained, stopped and watched after that is no part of it.

// RecoveryStatus is what the record says of how long a stack takes to be back.
type RecoveryStatus struct {
	// MeanSeconds is the mean of all recoveries that are counted below, nil before the first.
	MeanSeconds *float64 `json:"mean_seconds"`
	// Rollbacks were ordered, by a revert or by hand; AutoRollbacks followed a failure;
	// Drills were rehearsals.
	Rollbacks     int `json:"rollbacks"`
	AutoRollbacks int `json:"auto_rollbacks"`
	Drills        int `json:"drills"`
	// LastDrill is nil before the first.
	LastDrill *LastDrill `json:"last_drill"`
}

// LastDrill is how the newest drill went.
type LastDrill struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome"`
	// RecoverySeconds is nil where the earlier release did not come to serve.
	RecoverySeconds *float64 `json:"recovery_seconds"`
}

// String is the status in a line, "" before there is anything to say.
func (r RecoveryStatus) String() string {
	if r.MeanSeconds == nil {
		return ""
	}
	return fmt.Sprintf("%.1fs on average: %d rollbacks, %d after failures, %d drills", *r.MeanSeconds, r.Rollbacks, r.AutoRollbacks, r.Drills)
}

// recoveryStatus sums a history up.
func recoveryStatus(history []Release) RecoveryStatus {
	var out RecoveryStatus
	var sum time.Duration
	for _, r := range history {
		back := r.comesBack(history)
		if r.Kind == KindDrill && !back && !r.Running() && out.LastDrill == nil {
			out.LastDrill = &LastDrill{Seq: r.Seq, At: r.Started.UTC(), Outcome: r.Outcome.String(), RecoverySeconds: r.RecoverySeconds()}
		}
		if r.Recovery == 0 || r.Outcome != Succeeded || back {
			continue
		}
		switch r.Kind {
		case KindRollback, KindManualRollback:
			out.Rollbacks++
		case KindAutoRollback:
			out.AutoRollbacks++
		case KindDrill:
			out.Drills++
		}
		sum += r.Recovery
	}
	if n := out.Rollbacks + out.AutoRollbacks + out.Drills; n > 0 {
		mean := sum.Seconds() / float64(n)
		out.MeanSeconds = &mean
	}
	return out
}

// RecoverySeconds is Recovery for JSON, nil for none.
func (r Release) RecoverySeconds() *float64 {
	if r.Recovery == 0 || r.Outcome != Succeeded {
		return nil
	}
	s := r.Recovery.Seconds()
	return &s
}

// recovery is how long it took until r, which has succeeded, brought back what it restores.
func (a *attempt) recovery(r Release, result Result) time.Duration {
	if a.verdict.Act != ActReturn {
		return 0
	}
	served := result.Served
	if served.IsZero() {
		served = r.Finished // it ran already
	}
	return max(served.Sub(a.ordered(r)), time.Millisecond)
}

// ordered is since when what r brings back is wanted.
func (a *attempt) ordered(r Release) time.Time {
	switch pin := a.in.Controls.Pin; {
	case a.verdict.Failed != nil:
		return a.verdict.Failed.Finished
	case r.Kind == KindManualRollback && pin != nil:
		return pin.Since
	}
	a.loop.mu.Lock()
	defer a.loop.mu.Unlock()
	if tries := a.tries(); len(tries) > 0 {
		return tries[len(tries)-1].Started
	}
	return r.Started
}
