package testbed

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// observer writes the Timeline of one stack from the engine's events. When the
// stream breaks it compares what runs with what it knew and goes on.
type observer struct {
	engine *Engine
	stack  string
	cancel context.CancelFunc
	done   sync.WaitGroup

	mu       sync.Mutex
	timeline Timeline
	known    map[string]Container // every container seen, by ID
	live     map[string]bool      // containers believed to run
	// checkups are runs of health checks, by their IDs; unchecked are containers none of
	// whose has passed yet.
	checkups, unchecked map[string]bool
}

// observe starts an observer and returns once it listens.
func observe(engine *Engine, stack string) *observer {
	ctx, cancel := context.WithCancel(context.Background())
	o := &observer{engine: engine, stack: stack, cancel: cancel,
		known: map[string]Container{}, live: map[string]bool{}, checkups: map[string]bool{}, unchecked: map[string]bool{}}
	listening := make(chan struct{})
	o.done.Go(func() {
		var once sync.Once
		for ctx.Err() == nil {
			o.follow(ctx, func() { once.Do(func() { close(listening) }) })
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // the engine is away
			}
		}
	})
	select {
	case <-listening:
	case <-time.After(5 * time.Second): // an engine that is down is listened to when it is back
	}
	return o
}

func (o *observer) stop() {
	o.cancel()
	o.done.Wait()
}

// Timeline is what has happened so far.
func (o *observer) Timeline() Timeline {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.timeline)
}

// volumes are the names of all volumes that the stack's containers ever mounted.
func (o *observer) volumes() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := map[string]bool{}
	for _, c := range o.known {
		for _, v := range c.Volumes {
			names[v] = true
		}
	}
	return slices.Collect(maps.Keys(names))
}

// follow reads one event stream to its end.
func (o *observer) follow(ctx context.Context, listening func()) {
	query := filters(map[string][]string{"type": {"container"}, "label": {projectLabel + "=" + o.stack}})
	stream, err := o.engine.open(ctx, http.MethodGet, "/events", query, nil)
	if err != nil {
		return
	}
	defer stream.Close()
	o.resync(ctx)
	listening()
	decoder := json.NewDecoder(stream)
	for {
		var e event
		if decoder.Decode(&e) != nil {
			return
		}
		o.see(ctx, e)
	}
}

// event is the engine's word that something happened.
type event struct {
	Action   string
	TimeNano int64
	Actor    struct {
		ID         string
		Attributes map[string]string
	}
}

// see adds an event to the timeline.
func (o *observer) see(ctx context.Context, e event) {
	id, at := e.Actor.ID, time.Unix(0, e.TimeNano)
	switch {
	case e.Action == "create":
		o.learn(ctx, id)
	case e.Action == "start":
		o.learn(ctx, id)
		o.add(id, started, at)
		if c := o.container(id); c.Health == "none" {
			o.add(id, ready, at)
		}
	case strings.HasPrefix(e.Action, "health_status"):
		verdict := unready
		if strings.HasSuffix(e.Action, ": healthy") {
			verdict = ready
		}
		o.add(id, verdict, at)
	case o.passed(e):
		o.add(id, ready, at)
	case e.Action == "kill" && ends(e.Actor.Attributes["signal"]):
		o.add(id, signalled, at)
	case e.Action == "die":
		o.add(id, ended, at)
	}
}

// passed reports whether a container has passed its health check for the first time,
// whoever ran it: the engine says so only after a check of its own.
func (o *observer) passed(e event) bool {
	run := e.Actor.Attributes["execID"]
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.Action == "exec_create: "+strings.Join(healthcheck, " ") {
		o.checkups[run] = true
	}
	if e.Action != "exec_die" || !o.checkups[run] {
		return false
	}
	delete(o.checkups, run)
	return e.Actor.Attributes["exitCode"] == "0" && o.unchecked[e.Actor.ID]
}

// ends reports whether a signal, by number, asks a process to end rather than to
// reload or to report.
func ends(signal string) bool {
	const hup, usr1, usr2, winch = 1, 10, 12, 28
	n, err := strconv.Atoi(signal)
	return err != nil || !slices.Contains([]int{hup, usr1, usr2, winch}, n)
}

// learn looks a container up; one that is gone already is known by its ID only.
func (o *observer) learn(ctx context.Context, id string) {
	c, err := o.engine.Container(ctx, id)
	if err != nil {
		c = Container{ID: id, Name: id, Health: "none"}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.known[id]; !known || err == nil {
		o.known[id] = c
	}
}

func (o *observer) container(id string) Container {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known[id]
}

func (o *observer) add(id string, what change, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.known[id]
	switch what {
	case started:
		o.live[id], o.unchecked[id] = true, true
	case ended:
		delete(o.live, id)
		fallthrough
	default: // what was asked to stop is not made ready by a check that ran meanwhile
		delete(o.unchecked, id)
	}
	o.timeline = append(o.timeline, moment{
		at: at, what: what, container: id, name: c.Name, service: c.Service,
		volumes: slices.Collect(maps.Values(c.Volumes)),
	})
}

// resync notes what changed while no stream was read.
func (o *observer) resync(ctx context.Context) {
	found, err := o.engine.Containers(ctx, o.stack)
	if err != nil {
		return
	}
	o.mu.Lock()
	before := maps.Clone(o.live)
	for _, c := range found {
		o.known[c.ID] = c
	}
	o.mu.Unlock()
	now := time.Now()
	for _, c := range found {
		if c.Running && !before[c.ID] {
			o.add(c.ID, started, now)
		}
		if c.Ready() {
			o.add(c.ID, ready, now)
		} else if c.Running {
			o.add(c.ID, unready, now)
		} else if before[c.ID] {
			o.add(c.ID, ended, now)
		}
		delete(before, c.ID)
	}
	for id := range before {
		o.add(id, ended, now)
	}
}
