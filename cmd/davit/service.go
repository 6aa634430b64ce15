package main

import (
	"github.com/spf13/cobra"

	"davit/web"
)

func restartVerb(c *console) *cobra.Command {
	return errandVerb(c, "restart",
		"Replace the containers of a stack by new ones just like them",
		"Replace the containers of a stack, or of one service, by new ones just like them: in order of\n"+
			"dependency, behind the gate of each, and without a gap where two may run side by side.")
}

func stopVerb(c *console) *cobra.Command {
	o := order{console: c, verb: "stop", said: "%s is stopped"}
	cmd := &cobra.Command{
		Use: "stop STACK [SERVICE]", Short: "Stop a stack, or one service, until it is started", Args: cobra.RangeArgs(1, 2),
		Long: "Stop a stack, or one service. It stays stopped, over restarts of the agent and the host, until\n" +
			"`davit start`, a start by hand, or the next release.",
	}
	o.options = c.configure(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		body := web.Order{}
		if len(args) == 2 {
			body.Service = args[1]
		}
		return o.give(cmd.Context(), args[0], body)
	}
	return cmd
}

func startVerb(c *console) *cobra.Command {
	return errandVerb(c, "start",
		"Start what an operator stopped",
		"Start what `davit stop` or somebody's `docker stop` has stopped. Of a stack that davit leaves as it\n"+
			"is (paused, not declared any more, suspended by its own file) just those containers are started.")
}
