package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// adoptCommand takes over what somebody else runs, or says what that would mean.
type adoptCommand struct {
	*console
	options  *options
	output   *format
	dry      bool
	takeOver bool
}

func adoptVerb(c *console) *cobra.Command {
	a := &adoptCommand{console: c}
	cmd := &cobra.Command{
		Use:   "adopt [STACK]",
		Short: "Take over a project that Docker Compose runs",
		Long: "Take over a project that Docker Compose runs and that the repository declares. What runs as\n" +
			"it is declared is not restarted; what differs is rolled like any new release, after the plan\n" +
			"is printed. With --dry-run nothing is taken over, and without STACK every project is looked at.\n" +
			"Exit codes with --dry-run: 0 nothing would change, 2 something would, 1 error.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !a.dry {
				return reconcile.WithHint(errors.New("no stack given"), "davit adopt STACK, or davit adopt --dry-run for all of them")
			}
			stack := ""
			if len(args) == 1 {
				stack = args[0]
			}
			return a.run(cmd.Context(), stack)
		},
	}
	a.options = c.configure(cmd, hostSettings()...)
	a.output = outputFlag(cmd)
	cmd.Flags().BoolVar(&a.dry, "dry-run", false, "only say what adopting would mean")
	cmd.Flags().BoolVar(&a.takeOver, "take-over", false, "also take over containers of another davit, which must not run any more")
	return cmd
}

func (a *adoptCommand) run(ctx context.Context, stack string) error {
	config, err := a.options.load()
	if err != nil {
		return err
	}
	client := a.client(config)
	defer client.Close()
	found, err := client.Adoption(ctx, stack)
	if errors.Is(err, web.ErrNoAgent) && a.dry {
		found, err = a.look(ctx, config, stack)
	}
	if err != nil {
		return err
	}
	if a.output.json() {
		err = printJSON(a.Out, found)
	} else {
		a.print(found)
	}
	switch {
	case err != nil:
		return err
	case a.dry:
		return changes(found)
	}
	if err := client.Order(ctx, stack, "adopt", web.Order{Actor: a.Actor, TakeOver: a.takeOver}); err != nil {
		return err
	}
	if !a.output.json() {
		fmt.Fprintf(a.Out, "%s is adopted\n", stack)
	}
	return nil
}

// look is what adopting the revision that was fetched last would mean.
func (a *adoptCommand) look(ctx context.Context, config Config, stack string) (web.Adoptions, error) {
	fmt.Fprintln(a.Err, "davit: no agent is running; this is for the revision that was fetched last")
	w, err := lookAt(ctx, config)
	if err != nil {
		return web.Adoptions{}, err
	}
	defer w.close()
	found, err := w.declareLast(ctx)
	if err != nil {
		return web.Adoptions{}, err
	}
	if !found {
		return web.Adoptions{}, reconcile.WithHint(errors.New("no revision was fetched yet"), "start an agent; with adopt: none it takes nothing over unasked")
	}
	plans, err := w.loop.Adoptions(ctx, stack)
	return web.NewAdoptions(plans), err
}

// changes is the exit code of a dry run.
func changes(found web.Adoptions) error {
	for _, s := range found.Stacks {
		if (!s.Identical || len(s.Handover) > 0) && s.Obstacle == "" {
			return &exit{Code: exitChanges}
		}
	}
	return nil
}

func (a *adoptCommand) print(found web.Adoptions) {
	if len(found.Stacks) == 0 {
		fmt.Fprintln(a.Out, "nothing to adopt")
	}
	for _, s := range found.Stacks {
		switch {
		case s.Obstacle != "":
			fmt.Fprintf(a.Out, "%s  cannot be adopted: %s\n", s.Stack, tidy(s.Obstacle))
			continue
		case s.Identical && len(s.Handover) == 0:
			fmt.Fprintf(a.Out, "%s  identical\n", s.Stack)
			continue
		case s.Identical:
			fmt.Fprintf(a.Out, "%s  identical, and Docker has its ports\n", s.Stack)
		default:
			fmt.Fprintf(a.Out, "%s  differs\n", s.Stack)
		}
		if s.Owner != "" {
			fmt.Fprintf(a.Out, "  belongs to another davit, instance %s\n", tidy(s.Owner))
		}
		for _, d := range s.Differences {
			where := d.Service
			if where != "" {
				where += ": "
			}
			fmt.Fprintf(a.Out, "  %s%s\n", where, tidy(d.Text))
		}
		if len(s.Handover) > 0 {
			fmt.Fprintf(a.Out, "  davit adopt %s agrees that the edge gets %s: one short gap, after which containers see\n"+
				"  clients by X-Forwarded-For or PROXY, and the firewall by INPUT in the place of DOCKER-USER\n", s.Stack, hostPorts(s.Handover))
		}
		fmt.Fprintf(a.Out, "adopting it would lead to\n%s\n", tidy(s.Plan.Text))
	}
}

// hostPorts is "host ports 80, 443".
func hostPorts(ports []string) string {
	if len(ports) == 1 {
		return "host port " + ports[0]
	}
	return "host ports " + strings.Join(ports, ", ")
}
