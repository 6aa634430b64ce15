package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// errandCommand is an order about what runs that the agent carries out by a release:
// restart and start. It ends as that release does.
type errandCommand struct {
	*console
	options *options
	verb    string
	service string
	noWait  bool
	timeout time.Duration
	// before is the newest release from before the order, replaced the containers
	// that a restart leaves none of.
	before   int64
	replaced []string
	watch    *watch
}

func errandVerb(c *console, verb, short, long string) *cobra.Command {
	e := &errandCommand{console: c, verb: verb}
	cmd := &cobra.Command{
		Use: verb + " STACK [SERVICE]", Short: short, Args: cobra.RangeArgs(1, 2),
		Long: long + "\nExit codes: 0 done and healthy, 1 not, 3 timed out.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				e.service = args[1]
			}
			return e.run(cmd.Context(), args[0])
		},
	}
	e.options = c.configure(cmd)
	cmd.Flags().BoolVar(&e.noWait, "no-wait", false, "do not wait for the outcome")
	cmd.Flags().DurationVar(&e.timeout, "timeout", 15*time.Minute, "how long to wait for the outcome (0 for ever)")
	return cmd
}

func (e *errandCommand) run(ctx context.Context, stack string) error {
	config, err := e.options.load()
	if err != nil {
		return err
	}
	client := e.client(config)
	defer client.Close()
	ctx, cancel := within(ctx, e.timeout)
	defer cancel()
	err = e.give(ctx, client, stack)
	return e.watch.timedOut(ctx, err, e.verb+" "+stack, e.timeout)
}

// give gives the order and waits for its outcome.
func (e *errandCommand) give(ctx context.Context, client *web.Client, stack string) (err error) {
	if e.watch, err = e.newWatch(ctx, client, stack); err != nil {
		return err
	}
	if err := e.remember(ctx, stack); err != nil {
		return err
	}
	if err := client.Order(ctx, stack, e.verb, web.Order{Service: e.service, Actor: e.Actor}); err != nil {
		return err
	}
	if e.noWait {
		fmt.Fprintf(e.Out, "%s: the agent was told to %s it; see `davit history %s`\n", stack, e.verb, stack)
		return nil
	}
	return e.watch.until(ctx, e.look)
}

// remember notes what the outcome is told by. A stack that the agent does not know
// is for the agent to refuse.
func (e *errandCommand) remember(ctx context.Context, stack string) error {
	status, err := e.watch.client.Status(ctx)
	if err != nil {
		return err
	}
	for _, k := range status.Stacks {
		if k.Name != stack {
			continue
		}
		if e.before, err = newest(ctx, e.watch.client, stack); err != nil {
			return err
		}
		if e.verb == "restart" {
			for _, s := range e.meant(k) {
				e.replaced = append(e.replaced, s.Containers...)
			}
		}
	}
	return nil
}

// meant are the services that the order is about.
func (e *errandCommand) meant(k reconcile.StackStatus) []reconcile.ServiceStatus {
	return slices.DeleteFunc(slices.Clone(k.Services), func(s reconcile.ServiceStatus) bool {
		return e.service != "" && s.Name != e.service
	})
}

// look reports whether the order is carried out, or never will be.
func (e *errandCommand) look(ctx context.Context) (bool, error) {
	status, err := e.watch.status(ctx)
	if err != nil || status == nil {
		return false, err
	}
	k := status[0]
	releases, err := e.watch.client.History(ctx, k.Name, 0)
	if err != nil {
		return false, err
	}
	e.watch.pending = ended(k).Error()
	switch own := e.own(releases); own.Outcome {
	case "":
		if own.Seq > 0 {
			return false, nil
		}
	case "succeeded":
		return e.result(k)
	case "interrupted": // it is tried again, unless the agent itself was
		e.watch.pending = fmt.Sprintf("release #%d interrupted: %s", own.Seq, own.Reason)
	default:
		return true, fmt.Errorf("release #%d of %s %s: %s", own.Seq, k.Name, own.Outcome, own.Reason)
	}
	switch k.Sync {
	case reconcile.SyncProgressing, reconcile.SyncOutOfSync, reconcile.SyncWaiting:
		return false, nil
	}
	plans, err := e.watch.client.Plan(ctx, reconcile.PlanRequest{Stack: k.Name})
	if err != nil || !plans.Empty() {
		return false, nil
	}
	return e.result(k)
}

// own is the newest release that carries an order out; zero when there is none yet.
func (e *errandCommand) own(releases []web.Release) web.Release {
	for _, r := range releases {
		if r.Seq > e.before && r.Kind == reconcile.KindDriftFix.String() && r.Trigger == reconcile.TriggerCLI.String() {
			return r
		}
	}
	return web.Release{}
}

// result is how it ended for a stack that has nothing more to do about the order.
func (e *errandCommand) result(k reconcile.StackStatus) (bool, error) {
	if k.Sync == reconcile.SyncProgressing {
		return false, nil
	}
	var bad error
	for _, s := range e.meant(k) {
		if s.Ready < s.Desired {
			bad = errors.Join(bad, fmt.Errorf("%s: %d of %d replicas of %s are ready", k.Name, s.Ready, s.Desired, s.Name))
		}
		if slices.ContainsFunc(s.Containers, func(id string) bool { return slices.Contains(e.replaced, id) }) {
			bad = errors.Join(bad, reconcile.WithHint(fmt.Errorf("%s: %s still runs what it ran before", k.Name, s.Name),
				"the agent may have been restarted meanwhile: say it again"))
		}
	}
	if bad != nil && (k.Sync == reconcile.SyncSuspended || k.Sync == reconcile.SyncOrphaned) {
		return true, ended(k)
	}
	return true, bad
}
