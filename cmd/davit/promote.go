package main

import "github.com/spf13/cobra"

func promoteVerb(c *console) *cobra.Command {
	return orderVerb(c, order{verb: "promote", said: "what is held of %s goes on to its next step"},
		"Let a canary, or a batch that is judged, go on to its next step")
}
