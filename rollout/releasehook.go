package rollout

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"davit/compose"
	"davit/reconcile"
)

// What is shown of a hook's output. All of it is in the container's log.
const (
	hookLines = 10
	maxHook   = 2 << 10 // bytes
)

// releaseHook runs a hook of the release to its end: it makes the container, unless
// one was made before, starts it, unless it was started, and waits. Only the wait is
// given up when the execution ends: the container goes on, and whoever plans next
// finds it.
func (e *Executor) releaseHook(abortable context.Context, job reconcile.Job, t task) outcome {
	h := t.step.Hook
	if h.Lost != "" {
		return outcome{err: &fault{reason: fmt.Sprintf("%s: its %s command: %s", t.step.Target(), h.Phase, h.Lost)}}
	}
	if t.id == "" {
		made := e.change(abortable, job, t)
		if made.err != nil {
			return forgiven(made, h)
		}
		t.id = made.id
	}
	// Only now does the journal say that it was begun: by the name of the container.
	entry := entryOf(job, t)
	if !h.Leftover {
		entry.Container = reconcile.HookContainer(job.Plan.Stack, t.step.Service, h, job.Release.Seq)
	}
	if err := e.write(abortable, e.journal.Intend, entry); err != nil {
		return outcome{id: t.id, err: failed(t.step, fmt.Errorf("write the intention to the journal: %w", err))}
	}
	o := e.runHook(abortable, t)
	if o.id = t.id; errors.Is(o.err, errAbandoned) {
		return o // it is under way still
	}
	entry.At = time.Now()
	if o.err != nil {
		entry.Err = e.scrub(o.err.Error())
	}
	o.unrecorded = e.write(abortable, e.journal.Done, entry)
	return forgiven(o, h)
}

// forgiven makes a remark of the failure of a hook that nothing depends on.
func forgiven(o outcome, of reconcile.Hook) outcome {
	var f *fault
	if (of.Leftover || of.Phase == reconcile.HookOnFailure) && errors.As(o.err, &f) {
		o.err, o.remark = nil, o.err
	}
	return o
}

// runHook starts the hook's container and waits for its end, within its time.
func (e *Executor) runHook(abortable context.Context, t task) outcome {
	if abortable.Err() != nil { // while the journal was being written
		return outcome{err: errAbandoned}
	}
	c, err := e.startHook(abortable, t)
	if err == nil {
		c, err = e.awaitHook(abortable, t, c)
	}
	if errors.Is(err, errAbandoned) {
		return outcome{err: err}
	}
	switch h := t.step.Hook; {
	case err != nil:
	case h.Overran(c):
		err = &reconcile.HookFailure{TimedOut: h.Timeout} // whoever stopped it then
	case c.StopByHand && c.ExitCode == 0:
		err = &reconcile.HookFailure{Stopped: "somebody stopped it"}
	case c.ExitCode != 0:
		err = &reconcile.HookFailure{ExitCode: c.ExitCode}
	}
	said := e.hookSaid(abortable, t.id)
	var failure *reconcile.HookFailure
	if errors.As(err, &failure) {
		failure.Output = said
	}
	if err != nil {
		return outcome{err: blame(t.step, err)}
	}
	verdict := fmt.Sprintf("exited with code 0 after %s", span(c.Finished.Sub(c.Started)))
	h := t.step.Hook
	return outcome{verdict: verdict, said: strings.TrimRight(fmt.Sprintf("%s %d: %s\n%s", h.Phase, h.Index+1, verdict, said), "\n")}
}

// startHook starts a container that was never started, and nothing else: one that has
// run is not run again.
func (e *Executor) startHook(abortable context.Context, t task) (reconcile.Container, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(abortable), callLimit)
	defer cancel()
	c, err := e.engine.Inspect(ctx, t.id)
	if err != nil || c.State != reconcile.Created {
		return c, err
	}
	if err := e.engine.Start(ctx, t.id); err != nil {
		if gone := e.engine.Answers(ctx); gone != nil {
			err = errors.Join(err, fmt.Errorf("%w: %w", reconcile.ErrEngineUnavailable, gone))
		}
		return c, fmt.Errorf("it could not be started: %w", err)
	}
	c.Started = time.Now() // until the engine says when
	return c, nil
}

// awaitHook looks at the hook's container until it has ended. When its time is up, as
// counted from its start, it is stopped, and killed where that is not enough. An engine that
// goes down stops it, too, and many a program answers that with code 0: what ended while
// the engine was away is not taken for done.
func (e *Executor) awaitHook(abortable context.Context, t task, c reconcile.Container) (reconcile.Container, error) {
	rung, stop := e.bells.listen(t.id)
	defer stop()
	seen, begun, away := time.Now(), c.Started, false
	for interval := pollMin; ; interval = min(interval*3/2, pollMax) {
		looking, cancel := context.WithTimeout(abortable, lookLimit)
		c, err := e.engine.Inspect(looking, t.id)
		cancel()
		switch now := time.Now(); {
		case err == nil && c.State == reconcile.Exited && c.ExitCode == 0 && (away || e.outage.since(seen)):
			return c, &reconcile.HookFailure{Stopped: "while the engine was away, which may have stopped it"}
		case err == nil && (c.State == reconcile.Exited || c.State == reconcile.Dead):
			return c, nil
		case err == nil && !now.Before(begun.Add(t.step.Hook.Timeout)):
			return c, e.stopHook(abortable, t)
		case err == nil:
			seen, away = now, false
		case abortable.Err() != nil:
			return c, errAbandoned
		case errors.Is(err, reconcile.ErrContainerMissing):
			return c, &reconcile.HookFailure{Vanished: true}
		case now.Sub(seen) >= outageLimit:
			return c, fmt.Errorf("no answer for %s: %w: %w", span(now.Sub(seen)), reconcile.ErrEngineUnavailable, err)
		default:
			away = away || errors.Is(err, reconcile.ErrEngineUnavailable)
		}
		if err := doze(abortable, min(interval, time.Until(begun.Add(t.step.Hook.Timeout))), rung); err != nil {
			return c, err
		}
	}
}

// stopHook ends a hook whose time is up.
func (e *Executor) stopHook(abortable context.Context, t task) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(abortable), stopLimit)
	defer cancel()
	if err := e.engine.Stop(ctx, t.id); err != nil {
		return fmt.Errorf("its time of %s is up, and it could not be stopped: %w", span(t.step.Hook.Timeout), err)
	}
	return &reconcile.HookFailure{TimedOut: t.step.Hook.Timeout}
}

// hookSaid is the end of what the hook printed.
func (e *Executor) hookSaid(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), evidenceLimit)
	defer cancel()
	text, err := e.engine.Evidence(ctx, id, hookLines)
	if err != nil {
		return ""
	}
	text = strings.TrimSpace(e.scrub(text))
	if over := len(text) - maxHook; over > 0 {
		text = strings.ToValidUTF8(text[over:], "")
	}
	return text
}

// createHook makes the container of a hook: like one of its service's, but that it is
// nobody's replica.
func (e *Executor) createHook(ctx context.Context, job reconcile.Job, t task) outcome {
	r, err := request(job, t)
	if err != nil {
		return outcome{err: err}
	}
	h := t.step.Hook
	name := reconcile.HookContainer(job.Plan.Stack, t.step.Service, h, job.Release.Seq)
	r.Service.Config = hookConfig(r.Service, h, hookEnvironment(job, t.step))
	r.Create = reconcile.Create{Name: name, Final: name, Carry: t.step.Create.Carry, Hook: h.Mark()}
	r.Number, r.Restart = 0, noRestart
	id, err := e.engine.Create(ctx, r)
	return outcome{id: id, err: err}
}

// hookConfig is the service with the hook in place of its own command, and without
// what only one container may have or what makes others find it.
func hookConfig(s compose.Service, h reconcile.Hook, env types.MappingWithEquals) types.ServiceConfig {
	c := s.Config
	c.Entrypoint, c.Command = types.ShellCommand(h.Command), nil
	c.Ports, c.ContainerName, c.MacAddress, c.Labels, c.CustomLabels = nil, "", "", nil, nil
	c.PreStart, c.PostStart, c.PreStop = nil, nil, nil
	c.HealthCheck = &types.HealthCheckConfig{Disable: true}
	c.Environment = maps.Clone(c.Environment)
	if c.Environment == nil {
		c.Environment = types.MappingWithEquals{}
	}
	maps.Copy(c.Environment, env)
	c.Networks = maps.Clone(c.Networks)
	for name, n := range c.Networks {
		if n == nil {
			continue
		}
		own := *n
		own.Aliases, own.Ipv4Address, own.Ipv6Address, own.LinkLocalIPs, own.MacAddress = nil, "", "", nil, ""
		c.Networks[name] = &own
	}
	return c
}

// hookEnvironment tells a hook what it is run for.
func hookEnvironment(job reconcile.Job, step reconcile.Step) types.MappingWithEquals {
	r := job.Release
	set := map[string]string{
		"DAVIT_STACK": r.Stack, "DAVIT_SERVICE": step.Service, "DAVIT_HOOK": step.Hook.Phase.String(),
		"DAVIT_RELEASE": strconv.FormatInt(r.Seq, 10), "DAVIT_KIND": r.Kind.String(), "DAVIT_VERSION": r.Version, "DAVIT_COMMIT": r.Commit,
	}
	if step.Hook.Phase == reconcile.HookOnFailure {
		set["DAVIT_FAILURE"] = r.Failure
	}
	env := types.MappingWithEquals{}
	for name, value := range set {
		env[name] = &value
	}
	return env
}
