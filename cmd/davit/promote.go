package main

import "github.com/spf13/cobra"

func promoteVerb(c *console) *cobra.Command {
	return orderVerb(c, order{verb: "promote", said: "the canary of %s goes on to its next step"},
		"Let a canary that is held go on to its next step")
}
