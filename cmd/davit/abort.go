package main

import "github.com/spf13/cobra"

func abortVerb(c *console) *cobra.Command {
	return orderVerb(c, order{verb: "abort", said: "what was under way of %s is aborted and goes back"},
		"Put an end to a release or a drill under way: it goes back, and new content is held")
}
