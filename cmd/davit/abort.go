package main

import "github.com/spf13/cobra"

func abortVerb(c *console) *cobra.Command {
	return orderVerb(c, order{verb: "abort", said: "the canary of %s is aborted: all traffic goes back"},
		"Put an end to a canary: all traffic goes back, and its content is held")
}
