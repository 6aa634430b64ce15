package main

import "github.com/spf13/cobra"

func unpinVerb(c *console) *cobra.Command {
	return orderVerb(c, order{verb: "unpin", said: "%s follows Git again"},
		"Let a stack that was rolled back by hand follow Git again")
}
