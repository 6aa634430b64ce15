package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"davit/reconcile"
	"davit/web"
)

func removeVerb(c *console) *cobra.Command {
	o := order{console: c, verb: "remove", said: "%s is removed; its volumes are kept"}
	var yes bool
	cmd := &cobra.Command{
		Use:   "remove STACK",
		Short: "Remove the containers and networks of an orphaned stack",
		Long: "Remove the containers and networks of a stack that is no longer declared in Git.\n" +
			"Volumes are always kept.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				if err := c.confirm("Remove every container and network of " + args[0] + "?"); err != nil {
					return err
				}
			}
			return o.give(cmd.Context(), args[0], web.Order{})
		},
	}
	o.options = c.configure(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

// confirm asks on a terminal; anywhere else nobody could answer.
func (c *console) confirm(question string) error {
	if !c.Asks {
		return reconcile.WithHint(errors.New("not removed: nobody was asked"), "on a terminal you are asked; elsewhere give --yes")
	}
	fmt.Fprint(c.Err, question+" [y/N] ")
	answer, _ := bufio.NewReader(c.In).ReadString('\n') // the end of input is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not removed")
}
