package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"davit/traffic"
)

// edgeWords are what the setting edge may say: use one where there is one, insist on
// one, or leave all ports to Docker.
func edgeWords() []string { return []string{"auto", "on", "off"} }

// edgeFacts are what the agent finds of an edge at its start.
type edgeFacts struct {
	// answers is true when one runs, served when one has served a table here before.
	answers, served bool
	// terminal is true when a person watches the agent.
	terminal bool
	// supervisor ends with the agent what the agent starts; "" for none.
	supervisor string
}

// edgeChoice is what follows from the facts.
type edgeChoice struct {
	// use is false when Docker publishes all ports.
	use bool
	// launch is true when the agent starts an edge, and again when that was killed.
	launch bool
}

// choose decides about the edge. An edge that has served here is used even while it
// does not answer: to take its ports for Docker's would be to move them.
func (f edgeFacts) choose(word string) (edgeChoice, error) {
	byHand := f.supervisor == ""
	switch {
	case word == "off":
		return edgeChoice{}, nil
	case f.answers, f.served:
		return edgeChoice{use: true, launch: byHand}, nil
	case word == "on" && !byHand:
		return edgeChoice{}, errNoEdgeHere(f.supervisor)
	case word == "on", f.terminal && byHand:
		return edgeChoice{use: true, launch: true}, nil
	}
	return edgeChoice{}, nil
}

// edgeHere is the edge of a host for commands that start none: that which runs, or has
// served here; nil where Docker publishes all ports.
func edgeHere(ctx context.Context, config Config) *traffic.Client {
	client := traffic.NewClient(traffic.Socket(config.Data))
	_, err := client.Versions(ctx)
	facts := edgeFacts{answers: err == nil, served: traffic.Left(traffic.Dir(config.Data))}
	if config.Edge == "off" || !facts.answers && !facts.served {
		client.Close()
		return nil
	}
	return client
}

// openEdge finds the edge, or starts one. Without one a.edge stays nil.
func (a *agent) openEdge(ctx context.Context) error {
	client := traffic.NewClient(traffic.Socket(a.config.Data))
	theirs, err := client.Versions(ctx)
	if err != nil && !errors.Is(err, traffic.ErrNoEdge) {
		return fmt.Errorf("ask the edge who it is: %w", err)
	}
	facts := edgeFacts{answers: err == nil, served: traffic.Left(traffic.Dir(a.config.Data)), terminal: a.terminal, supervisor: a.around.supervisor()}
	choice, err := facts.choose(a.config.Edge)
	if err != nil {
		return err
	}
	if !choice.use {
		client.Close()
		if a.config.Edge != "off" {
			a.logger.Info("no edge runs: Docker publishes all ports")
		}
		return nil
	}
	a.edge, a.launchEdge = client, choice.launch
	switch {
	case !facts.answers && choice.launch:
		return a.startEdge(ctx)
	case !facts.answers:
		a.logger.Warn("the edge that has served here does not answer; its ports stay its own")
	case theirs.Program != programVersion():
		a.logger.Info("the edge is of another version; `davit edge --takeover` replaces it without a gap", "edge", theirs.Program, "agent", programVersion())
	}
	return nil
}

func (a *agent) startEdge(ctx context.Context) error {
	l := edgeLaunch{config: a.config, getenv: a.around.getenv}
	err := l.start(ctx)
	if err == nil {
		a.logger.Info("an edge runs in the background and outlives this agent", "log", l.log())
		return nil
	}
	// At boot a service manager may begin both at once: its edge had the directory before
	// it answered anybody.
	if process := a.beaten(ctx); process != 0 {
		a.logger.Info("an edge that was started at the same time serves", "process", process)
		return nil
	}
	return err
}

// beatenPatience is what an edge that was started beside this agent's has until it answers.
const beatenPatience = 5 * time.Second

// beaten is the process of an edge that serves in the place of this agent's, 0 for none.
func (a *agent) beaten(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, beatenPatience)
	defer cancel()
	for ctx.Err() == nil {
		if v, err := a.edge.Versions(ctx); err == nil {
			return v.PID
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return 0
}

// edgeRound is how often an agent that was started by hand sees whether its edge lives.
const edgeRound = 500 * time.Millisecond

// keepEdge starts the edge again when it was killed, until ctx ends: where nobody else
// supervises it, the agent does.
func (a *agent) keepEdge(ctx context.Context) {
	if a.edge == nil || !a.launchEdge {
		return
	}
	round := time.NewTicker(edgeRound)
	defer round.Stop()
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-round.C:
		}
		if _, err := a.edge.Versions(ctx); !errors.Is(err, traffic.ErrNoEdge) {
			missed = 0
			continue
		}
		// Twice, since one that is being replaced may not answer for a moment.
		if missed++; missed < 2 {
			continue
		}
		a.logger.Warn("the edge is gone; starting it again")
		if err := a.startEdge(ctx); err != nil && ctx.Err() == nil {
			a.logger.Error("the edge is not back", "error", err)
		}
		missed = 0
	}
}
