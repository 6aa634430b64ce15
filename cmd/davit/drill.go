package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// drillCommand rehearses the way back.
type drillCommand struct {
	*console
	options *options
	order   web.Order
	noWait  bool
	timeout time.Duration
	// before is the newest release from before the order.
	before int64
	watch  *watch
}

func drillVerb(c *console) *cobra.Command {
	d := &drillCommand{console: c}
	cmd := &cobra.Command{
		Use:   "drill STACK",
		Short: "Rehearse the way back: to the release before and here again",
		Long: "Roll a stack to the good release before the current one, with the images that ran then and\n" +
			"through every gate, and back again, and record how long it took until that release served.\n" +
			"What would be more than a rehearsal is refused: data that both releases write, a service that\n" +
			"cannot run twice, an irreversible hook in between, a stack that is not synced and healthy.\n" +
			"Exit codes: 0 it went well, 1 not, 3 timed out.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd.Context(), args[0]) },
	}
	d.options = c.configure(cmd)
	cmd.Flags().BoolVar(&d.order.DataCompatible, "data-compatible", false, "each release can work with the data that the other has written")
	cmd.Flags().BoolVar(&d.order.Gaps, "gaps", false, "services that cannot run twice may be away for a moment, twice")
	cmd.Flags().BoolVar(&d.order.Now, "now", false, "do not mind windows that are shut")
	cmd.Flags().BoolVar(&d.noWait, "no-wait", false, "do not wait for the outcome")
	cmd.Flags().DurationVar(&d.timeout, "timeout", 30*time.Minute, "how long to wait for the outcome (0 for ever)")
	return cmd
}

func (d *drillCommand) run(ctx context.Context, stack string) error {
	config, err := d.options.load()
	if err != nil {
		return err
	}
	client := d.client(config)
	defer client.Close()
	ctx, cancel := within(ctx, d.timeout)
	defer cancel()
	if d.before, err = newest(ctx, client, stack); err != nil {
		return err
	}
	if d.watch, err = d.newWatch(ctx, client, stack); err != nil {
		return err
	}
	d.order.Actor = d.Actor
	to, err := client.Drill(ctx, stack, d.order)
	if err != nil {
		return err
	}
	if d.noWait {
		fmt.Fprintf(d.Out, "%s goes to release #%d %s and back; see `davit history %s`\n", stack, to.Seq, to.Version, stack)
		return nil
	}
	return d.watch.timedOut(ctx, d.watch.until(ctx, d.look), "drill "+stack, d.timeout)
}

// look reports whether the drill is over.
func (d *drillCommand) look(ctx context.Context) (bool, error) {
	status, err := d.watch.status(ctx)
	if err != nil || status == nil {
		return false, err
	}
	k := status[0]
	if k.Drill != nil {
		d.watch.pending = "the drill is " + k.Drill.Phase
		if k.Sync == reconcile.SyncSuspended {
			return true, ended(k)
		}
		return false, nil
	}
	releases, err := d.watch.client.History(ctx, k.Name, 0)
	if err != nil {
		return false, err
	}
	return true, d.result(k.Name, releases)
}

// result is how the drill went, whose releases come after the one called before.
func (d *drillCommand) result(stack string, releases []web.Release) error {
	for i := len(releases) - 1; i >= 0; i-- {
		switch r := releases[i]; {
		case r.Seq <= d.before || r.Kind != reconcile.KindDrill.String():
		case r.Outcome == "succeeded" && r.RecoverySeconds != nil:
			d.watch.progress.say(fmt.Sprintf("%s served %.1fs after the order", r.Version, *r.RecoverySeconds))
			return nil
		default:
			return fmt.Errorf("the drill of %s %s: release #%d: %s", stack, outcomeText(r), r.Seq, r.Reason)
		}
	}
	return reconcile.WithHint(fmt.Errorf("the drill of %s was called off", stack), "`davit events %s` says why", stack)
}
