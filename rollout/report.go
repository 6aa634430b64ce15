package rollout

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"davit/reconcile"
)

// What is kept of a failed container.
const (
	evidenceLines = 50
	evidenceLimit = 10 * time.Second
)

// line is the step as the plan prints it, without its number.
func line(s reconcile.Step) string {
	return strings.TrimRight(fmt.Sprintf("%s %s  %s", s.Kind, s.Target(), s.Reason), " ")
}

func (x *execution) reportStarted(s reconcile.Step) {
	x.follow(reconcile.StepNews{Step: s})
	x.executor.log.Debug("step started", x.about(s)...)
	x.report(s, reconcile.EventStepStarted, reconcile.SeverityInfo, line(s))
}

// follow tells whoever follows the execution.
func (x *execution) follow(n reconcile.StepNews) {
	if x.job.Follow != nil {
		x.job.Follow(n)
	}
}

func (x *execution) reportDone(o outcome) {
	x.follow(reconcile.StepNews{Step: o.task.step, Ended: true, Done: true})
	s, text, severity := o.task.step, line(o.task.step), reconcile.SeverityInfo
	if o.verdict != "" {
		text += ": " + o.verdict
	}
	if o.remark != nil {
		text += ": it failed: " + o.remark.Error()
	}
	if o.unrecorded != nil || o.remark != nil {
		severity = reconcile.SeverityWarning
	}
	x.executor.log.Info("step done", x.with(o)...)
	x.report(s, reconcile.EventStepDone, severity, text+unrecorded(o))
}

// notice is what a step that is under way waits for.
type notice struct {
	step reconcile.Step
	text string
}

func (x *execution) reportWaiting(n notice) {
	x.follow(reconcile.StepNews{Step: n.step, Waits: x.executor.scrub(n.text)})
	text := line(n.step) + ": waiting: " + n.text
	x.executor.log.Warn("step waits", append(x.about(n.step), slog.String("for", x.executor.scrub(n.text)))...)
	x.report(n.step, reconcile.EventWaiting, reconcile.SeverityWarning, text)
}

// reportFailed reports a step that did not succeed. One that was given up for
// another's sake is no problem of its own.
func (x *execution) reportFailed(o outcome) {
	s, severity := o.task.step, reconcile.SeverityError
	x.follow(reconcile.StepNews{Step: s, Ended: true})
	if errors.Is(o.err, errAbandoned) {
		severity = reconcile.SeverityInfo
		x.executor.log.Info("step abandoned", x.with(o)...)
	} else {
		x.executor.log.Warn("step failed", x.with(o)...)
	}
	x.report(s, reconcile.EventStepFailed, severity, line(s)+": "+o.err.Error()+unrecorded(o))
}

// unrecorded says that the journal does not know how the step ended. That alone
// ends nothing: if it is to last, the next step's intention fails as well.
func unrecorded(o outcome) string {
	if o.unrecorded == nil {
		return ""
	}
	return "; its end is not in the journal: " + o.unrecorded.Error()
}

// with are the attributes of a step that ended.
func (x *execution) with(o outcome) []any {
	attrs := x.about(o.task.step)
	if o.remark != nil {
		attrs = append(attrs, slog.String("remark", x.executor.scrub(o.remark.Error())))
	}
	if o.err != nil {
		attrs = append(attrs, slog.String("error", x.executor.scrub(o.err.Error())))
	}
	if o.unrecorded != nil {
		attrs = append(attrs, slog.String("journal_error", x.executor.scrub(o.unrecorded.Error())))
	}
	return attrs
}

func (x *execution) about(s reconcile.Step) []any {
	return []any{
		slog.String("stack", x.job.Plan.Stack),
		slog.Int64("seq", x.job.Release.Seq),
		slog.Int("step", s.ID),
		slog.String("kind", s.Kind.String()),
		slog.String("target", s.Target()),
	}
}

func (x *execution) report(s reconcile.Step, kind reconcile.EventKind, severity reconcile.Severity, text string) {
	if x.job.Report == nil {
		return
	}
	x.job.Report(reconcile.Event{
		At:       time.Now(),
		Stack:    x.job.Plan.Stack,
		Service:  s.Service,
		Kind:     kind,
		Severity: severity,
		Message:  x.executor.scrub(text),
		Seq:      x.job.Release.Seq,
		Version:  x.job.Release.Version,
		Commit:   x.job.Release.Commit,
	})
}

// evidence is what is to be kept of a failed container. It is collected even
// after ctx was cancelled: the container may be gone the next time.
func (e *Executor) evidence(ctx context.Context, id string) string {
	if id == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceLimit)
	defer cancel()
	text, err := e.engine.Evidence(ctx, id, evidenceLines)
	if err != nil {
		text = strings.TrimLeft(text+"\n(the container's log could not be read: "+err.Error()+")", "\n")
	}
	return e.scrub(text)
}

// cleanOutput takes secrets out of what a failed build printed.
func (e *Executor) cleanOutput(err error) error {
	var failure *reconcile.BuildFailure
	if errors.As(err, &failure) {
		failure.Output = e.scrub(failure.Output)
	}
	return err
}

// cleaned is an error whose text has no secrets in it.
type cleaned struct {
	text string
	err  error
}

func (c cleaned) Error() string { return c.text }
func (c cleaned) Unwrap() error { return c.err }

// clean takes secrets out of an error's text and keeps what it wraps.
func (e *Executor) clean(err error) error {
	if err == nil {
		return nil
	}
	if text := e.scrub(err.Error()); text != err.Error() {
		return cleaned{text: text, err: err}
	}
	return err
}
