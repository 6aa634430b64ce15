package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"davit/web"
)

// applyCommand reconciles now and waits.
type applyCommand struct {
	*console
	options *options
	dir     string
	source  string
	timeout time.Duration
	now     bool
}

func applyVerb(c *console) *cobra.Command {
	a := &applyCommand{console: c}
	cmd := &cobra.Command{
		Use:   "apply [STACK]",
		Short: "Poll and reconcile now, and wait for the outcome",
		Long: "Make the agent poll its sources and reconcile now, show what happens, and wait until every\n" +
			"stack, or the one given, has come to rest. With --dir the stacks of a directory are applied\n" +
			"by this command itself; no agent may run on the same data directory.\n" +
			"Content that waits for its window goes on waiting, unless --now says otherwise: the record then\n" +
			"names who did, with the trigger override.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stack := ""
			if len(args) == 1 {
				stack = args[0]
			}
			return a.run(cmd.Context(), stack)
		},
	}
	a.options = c.configure(cmd, append(hostSettings(), pathSetting())...)
	cmd.Flags().StringVar(&a.dir, "dir", "", "apply the stacks of this directory")
	cmd.Flags().StringVar(&a.source, "source", "", "with --dir: the source whose place the directory takes")
	cmd.Flags().BoolVar(&a.now, "now", false, "do not wait for windows")
	cmd.Flags().DurationVar(&a.timeout, "timeout", 15*time.Minute, "how long to wait (0 for ever)")
	return cmd
}

func (a *applyCommand) run(ctx context.Context, stack string) error {
	config, err := a.options.load()
	if err != nil {
		return err
	}
	if a.source != "" && a.dir == "" {
		return errSourceAlone
	}
	ctx, cancel := within(ctx, a.timeout)
	defer cancel()
	what := "apply"
	if stack != "" {
		what += " " + stack
	}
	if a.dir != "" {
		return timedOut(ctx, a.directory(ctx, config, stack), what, a.timeout)
	}
	client := a.client(config)
	defer client.Close()
	w, err := a.newWatch(ctx, client, stack)
	if err != nil {
		return err
	}
	report, err := client.Apply(ctx, stack, web.Order{Now: a.now, Actor: a.Actor})
	if err != nil {
		return err
	}
	for _, s := range report.Sources {
		if s.LastError != "" {
			fmt.Fprintln(a.Err, "davit: the "+strings.TrimSpace("source "+s.Name)+" was not read: "+tidy(s.LastError))
		}
	}
	err = w.until(ctx, w.settled)
	return w.timedOut(ctx, err, what, a.timeout)
}
