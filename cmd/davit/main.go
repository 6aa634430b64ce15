package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	// A scratch image and a bare host have neither time zones nor root
	// certificates of their own.
	_ "time/tzdata"

	"github.com/sirupsen/logrus"
	_ "golang.org/x/crypto/x509roots/fallback"
)

func main() {
	// Whoever starts the agent may tell it to poll before it has read its flags.
	var early chan os.Signal
	if first := slices.IndexFunc(os.Args[1:], func(a string) bool { return !strings.HasPrefix(a, "-") }); first >= 0 && os.Args[1+first] == "run" {
		early = make(chan os.Signal, 1)
		signal.Notify(early, syscall.SIGHUP)
	}
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
	c.Hangups = early
	os.Exit(run(ctx, c, os.Args[1:]...))
}
