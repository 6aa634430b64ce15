// Command demo tells the story of a week with davit on a real engine, a real Git
// server and a real registry, and checks every sentence of it from outside: with
// the engine's own answers, with requests that a client sends throughout, and with
// `davit history -o json`. It exits 0 only if all of it was true, and takes away
// everything it made.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	davit := flag.String("davit", "", "the davit binary; built from this module without one")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second Ctrl-C does not wait for the cleaning up.
	context.AfterFunc(ctx, stop)

	n := newNarrator(ctx, os.Stdout)
	n.Run(func() { (&story{narrator: n}).tell(*davit) })
	switch {
	case n.Failed():
		fmt.Println("\nThe demo FAILED.")
		os.Exit(1)
	case n.interrupted():
		fmt.Println("\nInterrupted; everything made so far is gone.")
		os.Exit(130)
	}
	fmt.Printf("\nAll %d claims held, and everything made for them is gone.\n", n.claims)
}
