package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// historyCommand shows a stack's releases.
type historyCommand struct {
	*console
	options *options
	output  *format
	limit   int
}

func historyVerb(c *console) *cobra.Command {
	h := &historyCommand{console: c}
	cmd := &cobra.Command{
		Use:   "history STACK",
		Short: "Show every release of a stack, newest first",
		Args:  cobra.ExactArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return h.run(cmd.Context(), args[0]) },
	}
	h.options = c.configure(cmd)
	h.output = outputFlag(cmd)
	cmd.Flags().IntVarP(&h.limit, "limit", "n", 0, "show only the newest N (0 for all)")
	return cmd
}

func (h *historyCommand) run(ctx context.Context, stack string) error {
	config, err := h.options.load()
	if err != nil {
		return err
	}
	releases, err := h.read(ctx, config, stack)
	if err != nil {
		return err
	}
	if h.output.json() {
		return printJSON(h.Out, releases)
	}
	if len(releases) == 0 {
		fmt.Fprintln(h.Out, "no releases yet")
		return nil
	}
	t := h.table("SEQ", "VERSION", "KIND", "OUTCOME", "STARTED", "TOOK", "REVISION", "REASON")
	for _, r := range releases {
		t.row(plain(fmt.Sprintf("#%d", r.Seq)), plain(r.Version), plain(r.Kind), cell{outcomeText(r), outcomeColour(r)},
			plain(r.Started.Local().Format(time.DateTime)), plain(h.took(r)), plain(shortRevision(r.Revision)), plain(reasonText(r)))
	}
	t.print()
	return nil
}

func (h *historyCommand) took(r web.Release) string {
	end := h.Now()
	if r.Finished != nil {
		end = *r.Finished
	}
	d := end.Sub(r.Started)
	if d >= time.Second {
		return d.Round(time.Second / 10).String()
	}
	return d.Round(time.Millisecond).String()
}

// reasonText begins with what a rollback leaves and restores.
func reasonText(r web.Release) string {
	text := r.Reason
	if r.Restores != nil {
		text = fmt.Sprintf("restores #%d; %s", *r.Restores, text)
	}
	if r.RecoverySeconds != nil {
		text = fmt.Sprintf("served after %.1fs; %s", *r.RecoverySeconds, text)
	}
	if r.RollbackOf != nil {
		text = fmt.Sprintf("%s #%d, %s", leaving(r), *r.RollbackOf, text)
	}
	if r.Actor != "" {
		text += " (" + r.Actor + ")"
	}
	return text
}

// leaving is what a release did to the one that it left.
func leaving(r web.Release) string {
	if r.Kind == reconcile.KindDrill.String() {
		return "from"
	}
	return "rollback of"
}

func outcomeText(r web.Release) string {
	if r.Outcome == "" {
		return "running"
	}
	return r.Outcome
}

func outcomeColour(r web.Release) colour {
	switch r.Outcome {
	case "succeeded":
		return green
	case "failed", "refused":
		return red
	}
	return yellow
}
