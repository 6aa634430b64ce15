// Package hangup takes SIGHUP from the first moment of the agent's life. The
// packages that a davit is made of need some 30 ms to be initialised, in which the
// signal, meant as "poll now", would end the process; this one depends on next to
// nothing and so comes before them.
package hangup

import (
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// early is nil unless this process is the agent.
var early = catch(os.Args)

// Signals delivers SIGHUP to the agent. It is nil for every other command, which
// ends with its terminal.
func Signals() <-chan os.Signal { return early }

// catch takes the signal if args are those of `davit run`.
func catch(args []string) <-chan os.Signal {
	if !runs(args[min(1, len(args)):]) {
		return nil
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}

// runs reports whether the verb is run. Flags may come before it, and which of them
// are followed by a value is not known this early: what follows a flag is the verb
// only if it says run.
func runs(args []string) bool {
	mayBeValue := false
	for _, a := range args {
		flag := strings.HasPrefix(a, "-")
		switch {
		case a == "run":
			return true
		case !flag && !mayBeValue:
			return false
		}
		mayBeValue = flag && !strings.Contains(a, "=")
	}
	return false
}
