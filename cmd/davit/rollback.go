package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"davit/web"
)

// rollbackCommand returns a stack to an earlier release.
type rollbackCommand struct {
	*console
	options *options
	order   web.Order
	noWait  bool
	timeout time.Duration
}

func rollbackVerb(c *console) *cobra.Command {
	r := &rollbackCommand{console: c}
	cmd := &cobra.Command{
		Use:   "rollback STACK",
		Short: "Return a stack to an earlier release and pin it there",
		Long: "Return a stack to an earlier good release, with the images that ran then, and pin it there\n" +
			"until its content changes in Git or `davit unpin`.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.run(cmd.Context(), args[0]) },
	}
	r.options = c.configure(cmd)
	cmd.Flags().StringVar(&r.order.To, "to", "", "sequence number or version (default: what was proven before the newest release)")
	cmd.Flags().BoolVar(&r.order.Hold, "hold", false, "stay there even when the content changes in Git, until unpin")
	cmd.Flags().BoolVar(&r.noWait, "no-wait", false, "do not wait for the outcome")
	cmd.Flags().DurationVar(&r.timeout, "timeout", 15*time.Minute, "how long to wait for the outcome (0 for ever)")
	return cmd
}

func (r *rollbackCommand) run(ctx context.Context, stack string) error {
	config, err := r.options.load()
	if err != nil {
		return err
	}
	client := r.client(config)
	defer client.Close()
	ctx, cancel := within(ctx, r.timeout)
	defer cancel()
	before, err := newest(ctx, client, stack)
	if err != nil {
		return err
	}
	w, err := r.newWatch(ctx, client, stack)
	if err != nil {
		return err
	}
	r.order.Actor = r.Actor
	if _, err := client.Rollback(ctx, stack, r.order); err != nil {
		return err
	}
	if r.noWait {
		fmt.Fprintf(r.Out, "%s is being rolled back\n", stack)
		return nil
	}
	err = w.until(ctx, w.settled)
	err = errors.Join(err, endedBadly(ctx, client, stack, before))
	return w.timedOut(ctx, err, "roll "+stack+" back", r.timeout)
}

// newest is the sequence number of a stack's newest release; 0 without one.
func newest(ctx context.Context, client *web.Client, stack string) (int64, error) {
	releases, err := client.History(ctx, stack, 1)
	if err != nil || len(releases) == 0 {
		return 0, err
	}
	return releases[0].Seq, nil
}

// endedBadly is the error of the newest release that came after the one called
// before.
func endedBadly(ctx context.Context, client *web.Client, stack string, before int64) error {
	releases, err := client.History(ctx, stack, 1)
	if err != nil || len(releases) == 0 || releases[0].Seq <= before {
		return err
	}
	if r := releases[0]; r.Outcome != "succeeded" && r.Outcome != "" {
		return fmt.Errorf("release #%d of %s %s: %s", r.Seq, stack, r.Outcome, r.Reason)
	}
	return nil
}
