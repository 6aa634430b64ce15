package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	// A scratch image and a bare host have neither time zones nor root
	// certificates of their own.
	_ "time/tzdata"

	"github.com/sirupsen/logrus"
	_ "golang.org/x/crypto/x509roots/fallback"

	"davit/cmd/internal/hangup"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	stops := make(chan os.Signal, 2)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-stops
		cancel()
		// Any instant is a safe instant to die, so a second signal does not wait.
		<-stops
		fmt.Fprintln(os.Stderr, "davit: second signal, not waiting")
		os.Exit(exitError)
	}()
	// compose-go warns through a logger of the whole process; what it has to say is
	// among a project's notes.
	logrus.SetOutput(io.Discard)
	c := terminal()
	c.Hangups = hangup.Signals()
	os.Exit(run(ctx, c, os.Args[1:]...))
}
