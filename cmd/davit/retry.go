package main

import "github.com/spf13/cobra"

func retryVerb(c *console) *cobra.Command {
	return orderVerb(c, order{verb: "retry", said: "%s is tried again"},
		"Try content again that failed and is held, or that is stalled")
}
