// Command edgebench measures davit's edge beside what else can stand between a client
// and a service: nothing, Docker's own proxy, HAProxy, nginx and Caddy. All of them are
// up at once, and each is asked in turn, again and again, by the same client for the
// same answer, so that a busy machine is busy for all of them: what counts are the
// ratios. The one that is measured has the first core for itself, client and service
// share the second.
//
// It needs wrk, haproxy, nginx, caddy and docker-proxy, as Debian has them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var s size
	flag.StringVar(&s.davit, "davit", "bin/davit", "the davit binary")
	flag.IntVar(&s.runs, "runs", 5, "how often each is measured")
	flag.DurationVar(&s.each, "each", 4*time.Second, "how long each time")
	flag.IntVar(&s.connections, "connections", 32, "connections of the client")
	flag.IntVar(&s.idle, "idle", 5000, "connections that are kept open for the memory of each")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "edgebench:", err)
		os.Exit(1)
	}
}
