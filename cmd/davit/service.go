package main

import (
	"github.com/spf13/cobra"

	"davit/web"
)

// serviceVerb is a command about a running stack or one service of it.
func serviceVerb(c *console, verb, said, short, long string) *cobra.Command {
	o := order{console: c, verb: verb, said: said}
	cmd := &cobra.Command{
		Use: verb + " STACK [SERVICE]", Short: short, Long: long, Args: cobra.RangeArgs(1, 2),
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

func restartVerb(c *console) *cobra.Command {
	return serviceVerb(c, "restart", "%s is being restarted; see `davit history`",
		"Replace the containers of a stack by new ones just like them",
		"Replace the containers of a stack, or of one service, by new ones just like them: in order of\n"+
			"dependency, behind the gate of each, and without a gap where two may run side by side.")
}

func stopVerb(c *console) *cobra.Command {
	return serviceVerb(c, "stop", "%s is stopped",
		"Stop a stack, or one service, until it is started",
		"Stop a stack, or one service. It stays stopped, over restarts of the agent and the host, until\n"+
			"`davit start`, a start by hand, or the next release.")
}

func startVerb(c *console) *cobra.Command {
	return serviceVerb(c, "start", "%s is being started; see `davit status`",
		"Start what an operator stopped",
		"Start what `davit stop` or somebody's `docker stop` has stopped.")
}
