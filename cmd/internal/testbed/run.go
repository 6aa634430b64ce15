package testbed

import (
	"path/filepath"
	"strconv"
	"time"
)

// Run says how an agent is started. Only Repo is needed.
type Run struct {
	// Repo may be left out where Args name a configuration with repositories.
	Repo string
	// Engine is the engine's address, such as a proxy's; "" means the bed's own.
	Engine string
	// Interval is the time between polls; 0 means one second.
	Interval time.Duration
	// Data is the data directory; "" means a new one.
	Data string
	// Args add to `davit run`, Env to its environment.
	Args, Env []string
}

// Agent makes an agent and starts it. It is stopped when the bed goes away.
func (b *Bed) Agent(r Run) *Agent {
	b.tb.Helper()
	a := b.NewAgent(r)
	a.Start()
	return a
}

// NewAgent makes an agent that is not started yet.
func (b *Bed) NewAgent(r Run) *Agent {
	b.tb.Helper()
	b.mu.Lock()
	b.agents++
	name := "agent" + strconv.Itoa(b.agents)
	b.mu.Unlock()
	if r.Engine == "" {
		r.Engine = b.Engine.Host
	}
	if r.Interval == 0 {
		r.Interval = time.Second
	}
	if r.Data == "" {
		r.Data = filepath.Join(b.Dir, name)
	}
	args := []string{"--data", r.Data, "--engine", r.Engine}
	if r.Repo != "" {
		args = append(args, "--repo", r.Repo, "--interval", r.Interval.String())
	}
	a := &Agent{
		Data: r.Data, Host: r.Engine, Args: append(args, r.Args...), Env: r.Env, Patience: 3 * time.Minute,
		tb: b.tb, binary: b.davit, home: b.directory("home"), log: &journal{},
	}
	b.tb.Cleanup(func() {
		a.Stop()
		a.endEdge()
		if b.tb.Failed() {
			b.tb.Logf("%s wrote, at last:\n%s", name, tail(a.Log(), 120))
		}
	})
	return a
}
