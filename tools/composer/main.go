// Command composer is Docker Compose's own command, built from its public packages, so
// that what davit makes can be held against what Compose makes.
//
//	composer [-C DIR] COMPOSE-ARGUMENTS...
//
// -C changes the directory first, as in make and git. Everything else is what
// follows "docker compose" on a command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	dockercli "github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/flags"
	commands "github.com/docker/compose/v5/cmd/compose"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err == nil {
		return
	}
	status := dockercli.StatusError{StatusCode: 1}
	errors.As(err, &status)
	if message := err.Error(); message != "" {
		fmt.Fprintln(os.Stderr, "composer:", message)
	}
	os.Exit(status.StatusCode)
}

func run(ctx context.Context, args []string) error {
	if len(args) > 1 && args[0] == "-C" {
		if err := os.Chdir(args[1]); err != nil {
			return err
		}
		args = args[2:]
	}
	if err := forget(); err != nil {
		return err
	}
	cli, err := command.NewDockerCli()
	if err != nil {
		return fmt.Errorf("prepare the docker client: %w", err)
	}
	if err := cli.Initialize(flags.NewClientOptions()); err != nil {
		return fmt.Errorf("prepare the docker client: %w", err)
	}
	// Compose runs its parent's hook before its own; as the root of all commands
	// it would run its own for ever.
	docker := &cobra.Command{Use: "docker", TraverseChildren: true, SilenceUsage: true, SilenceErrors: true}
	docker.AddCommand(commands.RootCommand(cli, &commands.BackendOptions{
		Options: []compose.Option{compose.WithPrompt(refuse)},
	}))
	docker.SetArgs(append([]string{"compose"}, args...))
	return docker.ExecuteContext(ctx)
}

// refuse answers every question of Compose's with no: nobody is there to ask,
// and its questions are about deleting data.
func refuse(string, bool) (bool, error) { return false, nil }

// forget drops the environment, which Compose would replace variables from, so
// that a project means the same on every machine. What finds the engine stays.
func forget() error {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if name == "PATH" || name == "HOME" || strings.HasPrefix(name, "DOCKER_") {
			continue
		}
		if err := os.Unsetenv(name); err != nil {
			return fmt.Errorf("drop %s from the environment: %w", name, err)
		}
	}
	return nil
}
