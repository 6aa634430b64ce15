package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// waitCommand waits until a stack runs a commit or a version.
type waitCommand struct {
	*console
	options *options
	commit  string
	version string
	timeout time.Duration
}

func waitVerb(c *console) *cobra.Command {
	w := &waitCommand{console: c}
	cmd := &cobra.Command{
		Use:   "wait STACK",
		Short: "Wait until a stack runs a commit or a version, healthy",
		Long: "Wait until a stack runs a commit or a version, healthy; without either, until it is synced.\n" +
			"Exit codes: 0 it does, 1 it failed or never will, 3 timed out.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return w.run(cmd.Context(), args[0]) },
	}
	w.options = c.configure(cmd)
	cmd.Flags().StringVar(&w.commit, "commit", "", "commit, at least its first seven digits")
	cmd.Flags().StringVar(&w.version, "version", "", "version, such as v1.2.3")
	cmd.Flags().DurationVar(&w.timeout, "timeout", 15*time.Minute, "how long to wait (0 for ever)")
	return cmd
}

func (w *waitCommand) run(ctx context.Context, stack string) error {
	config, err := w.options.load()
	if err != nil {
		return err
	}
	if w.commit != "" && len(w.commit) < 7 {
		return fmt.Errorf("--commit: %q has fewer than seven digits", w.commit)
	}
	client := w.client(config)
	defer client.Close()
	ctx, cancel := within(ctx, w.timeout)
	defer cancel()
	if _, err := client.Health(ctx); err != nil {
		return err
	}
	watching, err := w.newWatch(ctx, client, stack)
	if err != nil {
		return err
	}
	err = watching.until(ctx, func(ctx context.Context) (bool, error) { return w.look(ctx, watching) })
	return timedOut(ctx, err, "wait for "+stack, w.timeout)
}

// look reports whether the stack runs what is waited for. A stack that is not
// known yet may be pushed any moment.
func (w *waitCommand) look(ctx context.Context, watching *watch) (bool, error) {
	status, err := watching.status(ctx)
	var refused *web.Error
	if errors.As(err, &refused) && refused.Status == 404 {
		return false, nil
	}
	if err != nil || status == nil {
		return false, err
	}
	k := status[0]
	releases, err := watching.client.History(ctx, k.Name, 0)
	if err != nil {
		return false, err
	}
	if w.running(k, releases) {
		// A release that has just ended is wound up before `status --check` is content.
		if k.Health != reconcile.ConditionHealthy || k.Sync == reconcile.SyncProgressing || k.Sync == reconcile.SyncOutOfSync {
			return false, nil
		}
		// How a stack stands is what the last pass found; what was declared since
		// is in the plan.
		plans, err := watching.client.Plan(ctx, reconcile.PlanRequest{Stack: k.Name})
		return err == nil && plans.Empty(), nil
	}
	return false, w.never(k, releases)
}

// running reports whether what is waited for is what the stack runs.
func (w *waitCommand) running(k reconcile.StackStatus, releases []web.Release) bool {
	if w.commit == "" && w.version == "" {
		return k.Sync == reconcile.SyncSynced
	}
	if w.commit != "" && !strings.HasPrefix(commitOf(k.Revision), strings.ToLower(w.commit)) {
		return false
	}
	if w.version != "" && k.Version != w.version && k.Version != "v"+w.version {
		return false
	}
	// The revision that a stack shows may be the one under way.
	return len(releases) == 0 || releases[0].Outcome != ""
}

// never is an error when what is waited for was tried and given up.
func (w *waitCommand) never(k reconcile.StackStatus, releases []web.Release) error {
	if w.commit == "" && w.version == "" {
		switch k.Sync {
		case reconcile.SyncHeld, reconcile.SyncStalled, reconcile.SyncOrphaned, reconcile.SyncUnadopted:
			return ended(k)
		}
		return nil
	}
	for _, r := range releases {
		if !w.means(r) {
			continue
		}
		switch r.Outcome {
		case "failed", "refused", "superseded", "cancelled":
			return fmt.Errorf("release #%d of %s %s: %s", r.Seq, k.Name, r.Outcome, r.Reason)
		}
		return nil
	}
	return nil
}

// means reports whether r is a release of what is waited for.
func (w *waitCommand) means(r web.Release) bool {
	if w.commit != "" && !strings.HasPrefix(r.Commit, strings.ToLower(w.commit)) {
		return false
	}
	return w.version == "" || r.Version == w.version || r.Version == "v"+w.version
}

// commitOf is the commit in "main@sha1:9d10e44…".
func commitOf(revision string) string {
	_, commit, _ := strings.Cut(revision, "sha1:")
	return commit
}
