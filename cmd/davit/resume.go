package main

import "github.com/spf13/cobra"

func resumeVerb(c *console) *cobra.Command {
	return orderVerb(c, order{verb: "resume", said: "%s is no longer suspended"}, "End a stack's suspension")
}
