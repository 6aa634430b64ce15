package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"davit/reconcile"
	"davit/web"
)

// Exit codes. Everything that goes wrong is 1, a wrong flag included, so that
// plan's 2 always means changes.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2
	exitTimeout = 3
)

// console is where a command reads and writes, and what it knows of its user.
// Tests fill in their own.
type console struct {
	In       io.Reader
	Out, Err io.Writer
	// Colour is set when Out is a terminal that wants colour; Asks when In is a
	// terminal, so that a question can be answered.
	Colour, Asks bool
	// Width is how many columns Out has, nil unless it is a terminal that can go back.
	Width   func() int
	Getenv  func(string) string
	Environ func() []string
	// Actor is who gives an order, as the record shows it.
	Actor string
	Root  bool
	Now   func() time.Time
	// Hangups delivers SIGHUP, which means "poll now" to the agent. Nil for other
	// commands: they end with their terminal.
	Hangups <-chan os.Signal
}

// terminal is the console of the process.
func terminal() *console {
	out := term.IsTerminal(int(os.Stdout.Fd()))
	return &console{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Colour: out && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		Asks:   term.IsTerminal(int(os.Stdin.Fd())), Width: widthOf(os.Stdout, os.Getenv("TERM")),
		Getenv: os.Getenv, Environ: os.Environ, Actor: actor(), Root: os.Geteuid() == 0,
		Now: time.Now,
	}
}

// actor is the person behind sudo, else the user.
func actor() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// exit is an error that is an exit code; Err may be nil when all has been said.
type exit struct {
	Code int
	Err  error
}

func (e *exit) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exit) Unwrap() error { return e.Err }

// run is the whole program: it carries out args and returns the exit code.
func run(ctx context.Context, c *console, args ...string) int {
	root := &cobra.Command{
		Use:   "davit",
		Short: "Lowers releases from Git onto a Docker host, and hoists them back",
		Long: "davit polls a Git repository of compose files, replaces what changed behind a health gate,\n" +
			"records every release with its exact images, and rolls back when a commit is reverted.\n\n" +
			"Exit codes: 0 done, 1 error or not so, 2 plan or adopt --dry-run has changes, 3 timed out.",
		SilenceErrors: true, SilenceUsage: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              cobra.NoArgs,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(c.In)
	root.SetOut(c.Out)
	root.SetErr(c.Err)
	root.SetArgs(args)
	root.AddCommand(verbs(c)...)
	return c.verdict(root.ExecuteContext(ctx))
}

func verbs(c *console) []*cobra.Command {
	return []*cobra.Command{
		runVerb(c), edgeVerb(c), planVerb(c), applyVerb(c), statusVerb(c), historyVerb(c), rollbackVerb(c), drillVerb(c), adoptVerb(c), restartVerb(c), stopVerb(c), startVerb(c), unpinVerb(c),
		retryVerb(c), promoteVerb(c), abortVerb(c), suspendVerb(c), resumeVerb(c), removeVerb(c), waitVerb(c), validateVerb(c), configVerb(c),
		eventsVerb(c), doctorVerb(c), versionVerb(c),
	}
}

// verdict prints err, with its hint, and turns it into an exit code.
func (c *console) verdict(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitError
	var e *exit
	if errors.As(err, &e) {
		if code = e.Code; e.Err == nil {
			return code
		}
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("stopped")
	}
	fmt.Fprintln(c.Err, "davit: "+tidy(err.Error()))
	if h := hint(err); h != "" {
		fmt.Fprintln(c.Err, "  hint: "+tidy(h))
	}
	return code
}

func hint(err error) string {
	if h := reconcile.Hint(err); h != "" {
		return h
	}
	var refused *web.Error
	if errors.As(err, &refused) {
		return refused.Hint
	}
	if errors.Is(err, web.ErrNoAgent) {
		return "start one with `davit run`, or name its data directory with --data"
	}
	return ""
}

// client speaks to the agent of the data directory.
func (c *console) client(o Config) *web.Client {
	return web.NewClient(filepath.Join(o.Data, web.SocketName))
}
