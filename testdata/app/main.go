package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// killed is what a shell reports of a process that SIGTERM ended.
const killed = 143

// exit ends the process with a code that is not a failure to explain.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit with code %d", int(e)) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := run(ctx, os.Args[1:])
	var code exit
	switch {
	case errors.As(err, &code):
		os.Exit(int(code))
	case err != nil:
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	b, err := behaviourFrom(os.Getenv)
	if err != nil {
		return err
	}
	verb := "serve"
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	switch verb {
	case "serve":
		return serve(ctx, b)
	case "healthcheck":
		return healthcheck(ctx, b)
	case "migrate":
		return migrate(ctx, b)
	case "callee":
		return answerCalls(ctx, b)
	case "caller":
		return callNames(ctx, args, os.Stdout)
	case "load":
		return load(ctx, args, os.Stdout)
	}
	return fmt.Errorf("unknown verb %q", verb)
}
