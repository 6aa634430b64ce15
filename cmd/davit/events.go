package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// eventsCommand shows what happened.
type eventsCommand struct {
	*console
	options *options
	output  *format
	follow  bool
	limit   int
}

func eventsVerb(c *console) *cobra.Command {
	e := &eventsCommand{console: c}
	cmd := &cobra.Command{
		Use:   "events [STACK]",
		Short: "Show what happened, oldest first",
		Long:  "Show what happened, oldest first. With -o json every event is one line.",
		Args:  cobra.MaximumNArgs(1),
		RunE:  func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args) },
	}
	e.options = c.configure(cmd)
	e.output = outputFlag(cmd)
	cmd.Flags().BoolVarP(&e.follow, "follow", "f", false, "go on with what happens from now on")
	cmd.Flags().IntVarP(&e.limit, "limit", "n", 100, "begin with the newest N")
	return cmd
}

func (e *eventsCommand) run(ctx context.Context, args []string) error {
	config, err := e.options.load()
	if err != nil {
		return err
	}
	if e.limit < 1 {
		return fmt.Errorf("--limit: %d is not a number from 1", e.limit)
	}
	q := web.EventQuery{Limit: e.limit, Follow: e.follow}
	if len(args) == 1 {
		q.Stack = args[0]
	}
	client := e.client(config)
	defer client.Close()
	err = client.Events(ctx, q, e.print)
	if errors.Is(err, web.ErrNoAgent) && !e.follow {
		return e.recorded(ctx, config, q)
	}
	if ctx.Err() != nil {
		return nil // the reader has seen enough
	}
	return err
}

func (e *eventsCommand) print(event reconcile.Event) error {
	if e.output.json() {
		return json.NewEncoder(e.Out).Encode(event)
	}
	_, err := fmt.Fprintln(e.Out, e.eventLine(event))
	return err
}

// eventLine is an event for people.
func (c *console) eventLine(e reconcile.Event) string {
	k := noColour
	switch {
	case e.Severity == reconcile.SeverityError:
		k = red
	case e.Severity == reconcile.SeverityWarning:
		k = yellow
	case e.Kind == reconcile.EventReleaseSucceeded:
		k = green
	}
	where := e.Stack
	if e.Service != "" {
		where += "/" + e.Service
	}
	return fmt.Sprintf("%s  %-16s  %s  %s", c.paint(e.At.Local().Format(time.DateTime), dim), inline(where),
		c.paint(fmt.Sprintf("%-16s", e.Kind), k), inline(e.Message))
}
