package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"davit/web"
)

// order is a verb that tells the agent something about one stack.
type order struct {
	*console
	options *options
	verb    string
	// said is printed when it was done, with the stack's name in it.
	said string
}

// orderVerb is a command that only passes an order on.
func orderVerb(c *console, o order, short string) *cobra.Command {
	o.console = c
	cmd := &cobra.Command{Use: o.verb + " STACK", Short: short, Args: cobra.ExactArgs(1)}
	o.options = c.configure(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return o.give(cmd.Context(), args[0], web.Order{})
	}
	return cmd
}

// give sends the order with the name of who gives it.
func (o order) give(ctx context.Context, stack string, body web.Order) error {
	config, err := o.options.load()
	if err != nil {
		return err
	}
	client := o.client(config)
	defer client.Close()
	body.Actor = o.Actor
	if err := client.Order(ctx, stack, o.verb, body); err != nil {
		return err
	}
	fmt.Fprintf(o.Out, o.said+"\n", stack)
	return nil
}
