// Command bench measures davit from outside on a whole host: many stacks of one
// repository on a container engine of its own, beside what the same engine takes
// for the same containers when it is asked for them directly. It prints a table in
// Markdown and takes away everything it made. It needs root, dockerd and git.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"davit/cmd/internal/testbed"
)

func main() {
	var s size
	davit := flag.String("davit", "", "the davit binary; built from this module without one")
	flag.IntVar(&s.stacks, "stacks", 50, "number of stacks")
	flag.IntVar(&s.services, "services", 5, "services in each of them")
	flag.IntVar(&s.changes, "changes", 7, "how often one service is changed")
	flag.IntVar(&s.passes, "passes", 50, "how many passes with nothing to do are made")
	flag.IntVar(&s.rounds, "rounds", 5, "how often every service of a stack is replaced, by davit and by each of the others")
	flag.IntVar(&s.back, "reverts", 7, "how often a service is reverted to a running standby, and to a stopped one")
	only := flag.String("only", "", "measure nothing but reverts, or replacements")
	flag.DurationVar(&s.idle, "idle", 60e9, "how long the agent is watched while nothing happens")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C does not wait for the cleaning up.
	context.AfterFunc(ctx, stop)

	owner := testbed.NewOwner(ctx, os.Stderr)
	var found string
	ok := owner.Run(func() {
		h := newHost(owner, *davit, s)
		switch *only {
		case "reverts":
			found = revertTable(h.reverts(s.back))
		case "replacements":
			found = replacementTable(h.replacements(s.rounds, 1, 10, 50))
		default:
			found = h.measure().String()
		}
	})
	if !ok {
		fmt.Fprintln(os.Stderr, "bench: no figures")
		os.Exit(1)
	}
	fmt.Print(found)
}
