package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

// planCommand shows what a pass would do.
type planCommand struct {
	*console
	options *options
	output  *format
	dir     string
	source  string
	values  bool
}

func planVerb(c *console) *cobra.Command {
	p := &planCommand{console: c}
	cmd := &cobra.Command{
		Use:   "plan [STACK]",
		Short: "Show what a pass would do now, and change nothing",
		Long: "Show what a pass would do now, and change nothing. With --dir the stacks of a directory are\n" +
			"planned instead of those of the agent's repository.\n" +
			"Exit codes: 0 nothing to do, 2 changes, 1 error.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			stack := ""
			if len(args) == 1 {
				stack = args[0]
			}
			return p.run(cmd.Context(), stack)
		},
	}
	p.options = c.configure(cmd, append(hostSettings(), pathSetting())...)
	p.output = outputFlag(cmd)
	cmd.Flags().StringVar(&p.dir, "dir", "", "plan the stacks of this directory")
	cmd.Flags().StringVar(&p.source, "source", "", "with --dir: the source whose place the directory takes")
	cmd.Flags().BoolVar(&p.values, "show-values", false, "show the values of environment variables that change; never those of secrets")
	return cmd
}

func (p *planCommand) run(ctx context.Context, stack string) error {
	config, err := p.options.load()
	if err != nil {
		return err
	}
	if p.source != "" && p.dir == "" {
		return errSourceAlone
	}
	plans, err := p.plans(ctx, config, stack)
	if err != nil {
		return err
	}
	if p.output.json() {
		err = printJSON(p.Out, plans)
	} else {
		p.print(plans)
	}
	switch {
	case err != nil:
		return err
	case plans.Blocked():
		return &exit{Code: exitError}
	case !plans.Empty() || plans.Waiting():
		return &exit{Code: exitChanges}
	}
	return nil
}

func (p *planCommand) plans(ctx context.Context, config Config, stack string) (web.Plans, error) {
	if p.dir != "" {
		return p.directory(ctx, config, stack)
	}
	client := p.client(config)
	defer client.Close()
	plans, err := client.Plan(ctx, reconcile.PlanRequest{Stack: stack, Values: p.values})
	if errors.Is(err, web.ErrNoAgent) {
		return p.last(ctx, config, stack)
	}
	return plans, err
}

func (p *planCommand) print(plans web.Plans) {
	if len(plans.Plans) == 0 {
		fmt.Fprintln(p.Out, "nothing to do")
	}
	for i, plan := range plans.Plans {
		if i > 0 {
			fmt.Fprintln(p.Out)
		}
		fmt.Fprintln(p.Out, tidy(plan.Text))
	}
}
