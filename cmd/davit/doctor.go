package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"davit/compose"
	"davit/engine"
	"davit/gitsource"
	"davit/reconcile"
	"davit/rollout"
	"davit/traffic"
	"davit/web"
)

// level is how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn"
	levelFail level = "fail"
)

func (l level) String() string { return string(l) }

// finding is one thing that the doctor looked at.
type finding struct {
	// Check names it.
	Check string `json:"check"`
	Level level  `json:"level"`
	// Seen is what was found, Advice what to do about it; "" where there is
	// nothing to do.
	Seen   string `json:"seen"`
	Advice string `json:"advice"`
}

// diagnosis answers `davit doctor -o json`.
type diagnosis struct {
	// Well is true when nothing failed.
	Well     bool      `json:"well"`
	Findings []finding `json:"findings"`
}

// doctorCommand looks for what keeps, or will keep, an agent from its work.
type doctorCommand struct {
	*console
	options *options
	output  *format
}

func doctorVerb(c *console) *cobra.Command {
	d := &doctorCommand{console: c}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look for what keeps an agent from its work on this host, and say what to do",
		Long: "Look for what keeps an agent from its work on this host, and say what to do: the engine, the disk,\n" +
			"address pools, the edge and its ports, load balancers, Prometheus, the clock, the repository and its\n" +
			"credentials, files of the configuration, the firewall.\n" +
			"Changes nothing and needs no agent. Exit codes: 0 nothing failed, 1 something did.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context()) },
	}
	d.options = c.configure(cmd, append(hostSettings(), agentSettings()...)...)
	d.output = outputFlag(cmd)
	return cmd
}

func (d *doctorCommand) run(ctx context.Context) error {
	config, err := d.options.load()
	if err != nil {
		return err
	}
	e, err := askedEngine(config)
	if err != nil {
		return err
	}
	defer e.Close()
	client := d.client(config)
	defer client.Close()
	edge := traffic.NewClient(traffic.Socket(config.Data))
	defer edge.Close()
	found := examine(ctx, (&doctor{
		config: config, root: "/", now: d.Now, engine: e, agent: client.Health, reach: gitsource.Reach, dates: dateOf,
		edge: edge, holder: rollout.PortHolder,
	}).checks())
	if d.output.json() {
		err = printJSON(d.Out, found)
	} else {
		d.print(found)
	}
	if err == nil && !found.Well {
		return &exit{Code: exitError}
	}
	return err
}

func (d *doctorCommand) print(found diagnosis) {
	colours := map[level]colour{levelOK: green, levelWarn: yellow, levelFail: red}
	for _, f := range found.Findings {
		fmt.Fprintf(d.Out, "%s  %s: %s\n", d.paint(fmt.Sprintf("%-4s", f.Level), colours[f.Level]), f.Check, inline(f.Seen))
		if f.Advice != "" {
			fmt.Fprintf(d.Out, "      %s\n", inline(f.Advice))
		}
	}
}

// doctor is what the checks look with. Tests fill in their own.
type doctor struct {
	config Config
	// root is where the host's own files are found.
	root   string
	now    func() time.Time
	engine interface {
		Host(ctx context.Context) (engine.Host, error)
		LocalImage(ctx context.Context, ref string) (reconcile.Image, error)
		TooNew(ctx context.Context, p *compose.Project) ([]error, error)
	}
	agent func(ctx context.Context) (web.Health, error)
	reach func(ctx context.Context, o gitsource.Options) (gitsource.Reached, error)
	edge  askedEdge
	// holder names who listens at a port of the host, "" where nobody is seen to.
	holder func(reconcile.HostPort) string
	// dates asks the repository's server for the time.
	dates func(ctx context.Context, url string) (time.Time, error)
}

// check is one look, with its own deadline.
type check struct {
	name  string
	limit time.Duration
	look  func(ctx context.Context) []finding
}

// checks are in the order in which one failure explains the next.
func (d *doctor) checks() []check {
	const quick, slow = 10 * time.Second, 45 * time.Second
	return []check{
		{"engine", quick, d.engineChecks},
		{"engine socket", quick, d.socketCheck},
		{"agent", quick, d.agentCheck},
		{"edge", quick, d.edgeCheck},
		{"host ports", slow, d.portsCheck},
		{"data directory", quick, d.dataCheck},
		{"record", quick, d.recordCheck},
		{"releases", slow, d.releaseCheck},
		{"stacks", slow, d.stacksCheck},
		{"disk", quick, d.diskCheck},
		{"memory", quick, d.memoryCheck},
		{"policy", quick, d.policyCheck},
		{"env_dir", quick, d.envDirCheck},
		{"credentials", quick, d.credentialsCheck},
		{"registry logins", quick, d.loginsCheck},
		{"known_hosts", quick, d.knownHostsCheck},
		{"repository", slow, d.repositoryCheck},
		{"balancers", slow, d.balancersCheck},
		{"prometheus", slow, d.prometheusCheck},
		{"clock", quick, d.clockCheck},
		{"firewall", quick, d.firewallCheck},
	}
}

// examine makes every check at once. One that does not come back in time is a
// failure, and is not waited for: it may hang in the kernel, on a network file
// system that is gone.
func examine(ctx context.Context, checks []check) diagnosis {
	results := make([][]finding, len(checks))
	var wait sync.WaitGroup
	for i, c := range checks {
		wait.Go(func() { results[i] = c.inTime(ctx) })
	}
	wait.Wait()
	out := diagnosis{Well: true, Findings: []finding{}}
	for _, found := range results {
		for _, f := range found {
			out.Well = out.Well && f.Level != levelFail
			out.Findings = append(out.Findings, f)
		}
	}
	return out
}

func (c check) inTime(ctx context.Context) []finding {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	done := make(chan []finding, 1)
	go func() { done <- c.look(ctx) }()
	select {
	case found := <-done:
		return found
	case <-ctx.Done():
	}
	// It may have ended for the same reason, and know more about it.
	select {
	case found := <-done:
		return found
	case <-time.After(time.Second):
		return one(c.name, levelFail, fmt.Sprintf("no answer within %s", c.limit), "look at what the check speaks to; a network file system that is gone hangs like this")
	}
}

func one(name string, l level, seen, advice string) []finding {
	return []finding{{Check: name, Level: l, Seen: seen, Advice: advice}}
}

// failed is the finding that an error is.
func failed(name string, err error, advice string) []finding {
	if h := hint(err); h != "" {
		advice = h
	}
	if errors.Is(err, context.DeadlineExceeded) && advice == "" {
		advice = "it did not answer in time"
	}
	return one(name, levelFail, err.Error(), advice)
}
