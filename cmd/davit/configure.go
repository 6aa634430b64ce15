package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

// configCommand prints the rendered project of a stack's current release.
type configCommand struct {
	*console
	options *options
	output  *format
	values  bool
}

func configVerb(c *console) *cobra.Command {
	k := &configCommand{console: c}
	cmd := &cobra.Command{
		Use:   "config STACK",
		Short: "Print the rendered compose file of a stack's current release",
		Long: "Print the rendered compose file of a stack's current release: what `docker compose` needs to\n" +
			"take the stack over. Values of environment variables, build arguments, configs and secrets\n" +
			"are masked unless --show-values is given.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return k.run(cmd.Context(), args[0]) },
	}
	k.options = c.configure(cmd)
	k.output = outputFlag(cmd)
	cmd.Flags().BoolVar(&k.values, "show-values", false, "do not mask values")
	return cmd
}

func (k *configCommand) run(ctx context.Context, stack string) error {
	config, err := k.options.load()
	if err != nil {
		return err
	}
	rendered, err := k.read(ctx, config, stack)
	if err != nil {
		return err
	}
	if k.output.json() {
		return printJSON(k.Out, rendered)
	}
	_, err = fmt.Fprint(k.Out, rendered.Project)
	return err
}
