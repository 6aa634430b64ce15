package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"davit/web"
)

func suspendVerb(c *console) *cobra.Command {
	o := order{console: c, verb: "suspend", said: "%s is suspended"}
	var length time.Duration
	var reason string
	cmd := &cobra.Command{
		Use:   "suspend STACK",
		Short: "Leave a stack alone for a while",
		Long:  "Leave a stack alone, whatever Git says and whatever happens to its containers, until\n--for is over or `davit resume` is given.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := web.Order{Reason: reason}
			if cmd.Flags().Changed("for") {
				if length <= 0 {
					return fmt.Errorf("--for: %s is not a time to come", length)
				}
				body.For = length.String()
			}
			return o.give(cmd.Context(), args[0], body)
		},
	}
	o.options = c.configure(cmd)
	cmd.Flags().DurationVar(&length, "for", 0, "how long, such as 2h (default: until resumed)")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}
