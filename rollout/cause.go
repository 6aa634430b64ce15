package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"davit/reconcile"
)

// errAbandoned ends a step that was given up because the execution is ending. It
// is never a cause itself.
var errAbandoned = errors.New("abandoned because the execution is ending")

// cause is a reason for an execution to end early.
type cause struct {
	step      reconcile.Step
	container string
	at        time.Time
	err       error
	cancelled bool
}

// fault is an error that the content is to blame for.
type fault struct {
	// reason is one sentence for people.
	reason string
}

func (f *fault) Error() string { return f.reason }

// verdict decides between the causes: the earliest counts, and of simultaneous
// ones the step that the plan names first. A cancellation counts only where
// there is nothing else, or it would hide that the content is bad. Where the
// content is not to blame the error carries every cause.
func verdict(causes []cause) (*reconcile.Failure, error) {
	causes = slices.Clone(causes)
	slices.SortFunc(causes, func(a, b cause) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.step.ID, b.step.ID))
	})
	var all []error
	first := true
	for _, c := range causes {
		all = append(all, c.err)
		if c.cancelled {
			continue
		}
		var f *fault
		if first && errors.As(c.err, &f) {
			return &reconcile.Failure{Step: c.step, Container: c.container, Reason: f.reason}, nil
		}
		first = false
	}
	if len(all) == 1 {
		return nil, all[0]
	}
	return nil, errors.Join(all...)
}

// blame decides what an engine's refusal says about the content.
func blame(step reconcile.Step, err error) error {
	if circumstantial(err) {
		return failed(step, err)
	}
	why := reconcile.Explanation(err)
	switch step.Kind {
	case reconcile.StepPolicy:
		if policy(step) == noRestart {
			break // before a lasting stop: it is about what the content replaces
		}
		return &fault{reason: fmt.Sprintf("%s could not be given its restart policy: %s", step.Replica, why)}
	case reconcile.StepCreate:
		return &fault{reason: fmt.Sprintf("%s could not be created: %s", step.Replica, why)}
	case reconcile.StepStart:
		return &fault{reason: fmt.Sprintf("%s could not be started: %s", step.Replica, why)}
	case reconcile.StepJoin:
		return &fault{reason: fmt.Sprintf("%s could not be given its service's name: %s", step.Replica, why)}
	case reconcile.StepHook:
		return &fault{reason: fmt.Sprintf("%s: its %s command failed: %s", step.Target(), step.Hook.Phase, why)}
	case reconcile.StepNetwork:
		if step.Network == "" {
			break // nothing has changed yet
		}
		// The one before is gone, and what was in it is stopped.
		return &fault{reason: fmt.Sprintf("network %s could not be made anew: %s", step.Resource, why)}
	case reconcile.StepUnmake:
		return &fault{reason: fmt.Sprintf("network %s could not be made anew: %s", step.Resource, why)}
	case reconcile.StepRename:
		return &fault{reason: fmt.Sprintf("%s could not be given its name: %s", step.Replica, why)}
	}
	return failed(step, err)
}

// circumstantial reports whether err may be gone at the next attempt though the
// content is the same. A command that ran and failed speaks for itself, whatever it
// printed.
func circumstantial(err error) bool {
	if own := new(reconcile.HookFailure); !errors.As(err, &own) && ails(err) {
		return true
	}
	for _, known := range []error{
		reconcile.ErrEngineUnavailable,
		reconcile.ErrDiskFull,
		reconcile.ErrImageMissing,
		reconcile.ErrRegistryDenied,
		reconcile.ErrRegistryUnavailable,
		// Somebody removed it by hand: planning again makes it anew.
		reconcile.ErrContainerMissing,
		context.Canceled,
		context.DeadlineExceeded,
		syscall.ENOSPC,
		errPlan,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// failed names the step that err ended. A fault names it already.
func failed(step reconcile.Step, err error) error {
	var f *fault
	if errors.As(err, &f) {
		return err
	}
	return fmt.Errorf("%s %s: %w", step.Kind, step.Target(), err)
}
