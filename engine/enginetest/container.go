package enginetest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"davit/reconcile"
)

// container is a container and what is going to happen to it.
type container struct {
	face      reconcile.Container
	behaviour Behaviour
	// checked is true when the container has a health check.
	checked bool
	// mounts are the sources it mounts writable: volume names, or host paths.
	mounts []string
	ports  []hostPort
	grace  time.Duration
	// volumesFrom are those whose mounts it shares, namespaces those that must run
	// when it starts.
	volumesFrom, namespaces []*container

	// stopped is true once somebody asked the engine to stop it: its policy then
	// does not start it again.
	stopped bool
	// byHand is true once somebody else stopped it, until it starts again.
	byHand  bool
	ever    bool // was started at least once
	due     []due
	backoff time.Duration
	// asked are the requests since it started, wrong what it owes of failed ones.
	asked int
	wrong float64
	// silent are the ports at which it answers no probe.
	silent map[uint16]bool
	// examined is true once somebody has run its health check with success, since it
	// started.
	examined bool
}

// due is something that will happen.
type due struct {
	at     time.Time
	what   happening
	health reconcile.Health
	code   int
	oom    bool
}

type happening int

const (
	becomes happening = iota // of another health
	exits
	restarts
)

// settle lets everything happen that is due by now, in order of time, the requests of
// clients included.
func (e *Engine) settle(now time.Time) {
	for {
		c, d, ok := e.earliest()
		ok = ok && !d.at.After(now)
		until := now
		if ok {
			until = d.at
		}
		if e.edge != nil && e.edge.deal(until) {
			continue
		}
		if !ok {
			return
		}
		c.due = c.due[1:]
		e.happen(c, d)
		e.writers.record(e.containers)
	}
}

func (e *Engine) earliest() (*container, due, bool) {
	var first *container
	for _, c := range e.containers {
		if len(c.due) == 0 {
			continue
		}
		if first == nil || c.due[0].at.Before(first.due[0].at) ||
			c.due[0].at.Equal(first.due[0].at) && c.face.ID < first.face.ID {
			first = c
		}
	}
	if first == nil {
		return nil, due{}, false
	}
	return first, first.due[0], true
}

func (e *Engine) happen(c *container, d due) {
	switch d.what {
	case becomes:
		c.face.Health = d.health
		e.tell(c, "health_status: "+d.health.String(), false)
	case exits:
		e.exit(c, d)
	case restarts:
		if err := e.launch(c, d.at); err != nil {
			c.face.State = reconcile.Exited
		}
	}
}

// plan puts d in its place among what is due.
func (c *container) plan(d due) {
	c.due = append(c.due, d)
	slices.SortStableFunc(c.due, func(a, b due) int { return a.at.Compare(b.at) })
}

// launch starts the process at the given moment.
func (e *Engine) launch(c *container, at time.Time) error {
	if err := e.canStart(c); err != nil {
		return err
	}
	f := &c.face
	f.State, f.Started, f.ExitCode, f.OOMKilled = reconcile.Running, at, 0, false
	f.Probed, f.Unwell, f.Crashes = reconcile.Probed{}, time.Time{}, 0 // a test said that of its last run
	c.ever, c.stopped, c.byHand, c.silent = true, false, false, nil
	c.asked, c.wrong, c.examined = 0, 0, false
	e.address(c)
	b := c.behaviour
	if b.Exits {
		code := b.ExitCode
		if b.OOM {
			code = 137
		}
		c.plan(due{at: at.Add(b.ExitAfter), what: exits, code: code, oom: b.OOM})
	}
	if c.checked {
		c.examine(at)
	}
	e.tell(c, "start", false)
	return nil
}

// examine plans the verdicts of the health check.
func (c *container) examine(at time.Time) {
	b := c.behaviour
	c.face.Health = reconcile.HealthStarting
	ready := at
	if !b.Sick {
		ready = at.Add(b.verdictAfter())
		c.plan(due{at: ready, what: becomes, health: reconcile.Healthy})
	}
	if b.UnhealthyAfter > 0 {
		c.plan(due{at: ready.Add(b.UnhealthyAfter), what: becomes, health: reconcile.Unhealthy})
	}
}

// verdictAfter is the time from start to the engine's first healthy verdict.
func (b Behaviour) verdictAfter() time.Duration {
	if b.CheckedEvery == 0 {
		return b.HealthyAfter
	}
	looks := max(1, (b.HealthyAfter+b.CheckedEvery-1)/b.CheckedEvery)
	return looks * b.CheckedEvery
}

// exit ends the process, and starts it again where its policy says so.
func (e *Engine) exit(c *container, d due) {
	f := &c.face
	ran := d.at.Sub(f.Started)
	f.State, f.Finished, f.ExitCode, f.OOMKilled = reconcile.Exited, d.at, d.code, d.oom
	c.due = nil
	if c.checked {
		f.Health = reconcile.Unhealthy // as the engine has it once the checks end
	}
	for name, end := range f.Endpoints {
		end.IP = ""
		f.Endpoints[name] = end
	}
	if d.oom {
		e.tell(c, "oom", false)
	}
	e.tell(c, "die", false)
	if c.stopped || !c.revives(d.code) {
		return
	}
	c.backoff = max(100*time.Millisecond, min(2*c.backoff, time.Minute))
	if ran >= 10*time.Second {
		c.backoff = 100 * time.Millisecond
	}
	f.State = reconcile.Restarting
	f.Restarts++
	c.plan(due{at: d.at.Add(c.backoff), what: restarts})
}

// revives reports whether the policy restarts the container after an exit with
// code that nobody asked for.
func (c *container) revives(code int) bool {
	policy, limit, _ := strings.Cut(c.face.Restart, ":")
	switch policy {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		n, _ := strconv.Atoi(limit)
		return code != 0 && (n == 0 || c.face.Restarts < n)
	}
	return false
}

// snapshot is a copy that shares nothing with the container.
func (c *container) snapshot() reconcile.Container {
	f := c.face
	f.Endpoints = map[string]reconcile.Endpoint{}
	for name, end := range c.face.Endpoints {
		end.Aliases = slices.Clone(end.Aliases)
		f.Endpoints[name] = end
	}
	f.Mounts = slices.Clone(c.face.Mounts)
	if c.examined && f.State == reconcile.Running && f.Health == reconcile.HealthStarting {
		f.Health = reconcile.Healthy
	}
	f.StopByHand = c.byHand && (f.State == reconcile.Exited || f.State == reconcile.Dead)
	f.Published = c.published()
	f.Volumes = map[string]string{}
	for path, name := range c.face.Volumes {
		f.Volumes[path] = name
	}
	return f
}

func byName(a, b reconcile.Container) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

func sortNewestFirst(list []*container) {
	slices.SortFunc(list, func(a, b *container) int {
		return cmp.Or(b.face.Created.Compare(a.face.Created), cmp.Compare(b.face.ID, a.face.ID))
	})
}
