package reconcile_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestKilledAtAnyMutationAnAgentConverges runs each story once undisturbed and
// then once for every mutation in it and each side of it: the agent dies there,
// with whatever it had not written lost, and another one starts. The end must be
// the same, and on the way the service must never fall below its floor.
func TestKilledAtAnyMutationAnAgentConverges(t *testing.T) {
	t.Parallel()
	stories := map[string]crashStory{
		"a start-first replacement": {
			first: web("1.0"), then: []string{web("1.1")}, floor: 1},
		"a start-first replacement of three replicas": {
			first: web("1.0") + "    deploy: {replicas: 3}\n", then: []string{web("1.1") + "    deploy: {replicas: 3}\n"}, floor: 3},
		"a stop-first replacement": {
			first: "services:\n  db: {image: \"db:15\", restart: always}\n", then: []string{"services:\n  db: {image: \"db:16\", restart: always}\n"}},
		"a failed release and its return": {
			first: web("1.0"), then: []string{web("bad")}, floor: 1},
		"a failed stop-first release and its return": {
			first: "services:\n  db: {image: \"db:15\", restart: always}\n", then: []string{"services:\n  db: {image: \"db:bad\", restart: always}\n"}},
		"a revert": {
			first: web("1.0"), then: []string{web("1.1"), web("1.0")}, floor: 1},
		"a lent container name": {
			first: web("1.0") + "    container_name: front\n", then: []string{web("1.1") + "    container_name: front\n"}, floor: 1},
	}
	killed(t, stories)
}

// TestKilledAtAnyMutationBeforeTheEnginesFirstLookAnAgentConverges is the same where an
// agent has found a container healthy and does not know of it in its next life, long
// before the engine looks.
func TestKilledAtAnyMutationBeforeTheEnginesFirstLookAnAgentConverges(t *testing.T) {
	t.Parallel()
	two := "    deploy: {replicas: 2}\n"
	killed(t, map[string]crashStory{
		"a replacement":   {first: published("1.0"), then: []string{published("1.1")}, floor: 1, edged: true, seldom: 30 * time.Second},
		"two replicas":    {first: published("1.0") + two, then: []string{published("1.1") + two}, floor: 2, edged: true, seldom: 30 * time.Second},
		"a revert":        {first: published("1.0"), then: []string{published("1.1"), published("1.0")}, floor: 1, edged: true, seldom: 30 * time.Second},
		"a set":           {first: blueGreenOf("1.0"), then: []string{blueGreenOf("1.1")}, floor: 2, edged: true, whole: true, seldom: 30 * time.Second},
		"running standby": {first: standingBy("1.0"), then: []string{standingBy("1.1"), standingBy("1.0")}, floor: 2, edged: true, seldom: 30 * time.Second},
	})
}

// killed tells every story undisturbed, and then killed at each of its mutations.
func killed(t *testing.T, stories map[string]crashStory) {
	t.Helper()
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			want, mutations := story.run(t, 0, enginetest.Before)
			for n := 1; n <= mutations; n++ {
				for _, moment := range []enginetest.Moment{enginetest.Before, enginetest.After} {
					if got, _ := story.run(t, n, moment); got != want {
						t.Errorf("killed %s mutation %d of %d:\n got %s\nwant %s", moment, n, mutations, got, want)
					}
				}
			}
			t.Logf("%d mutations, killed before and after each", mutations)
		})
	}
}

// crashStory is a first content that is deployed in peace, and then others.
type crashStory struct {
	first string
	then  []string
	// floor is how many containers must be ready at any time.
	floor int
	// edged is true on a host with an edge, where the floor is that of those to which it
	// hands work.
	edged bool
	// whole is true where no two releases are to be handed work at once.
	whole bool
	// judged is true on one whose agents analyse.
	judged bool
	// seldom is how long after a start the engine runs a health check for the first time.
	seldom time.Duration
}

var errKilled = errors.New("killed")

// run tells the story, killing the agent at the nth mutation after the first
// deploy (0 for never), and returns how it ended and how many mutations it took.
func (s crashStory) run(t *testing.T, n int, at enginetest.Moment) (end string, mutations int) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		for _, tag := range []string{"shop:1.0", "shop:1.1", "db:15", "db:16", "shop:bad", "db:bad"} {
			b := healthy()
			b.CheckedEvery = s.seldom
			if strings.HasSuffix(tag, "bad") {
				b = sick()
			}
			if strings.HasPrefix(tag, "db") {
				b.Volumes = []string{"/data"}
			}
			h.image(tag, b)
		}
		h.image("shop:late", enginetest.Behaviour{Healthcheck: true, HealthyAfter: time.Second, UnhealthyAfter: 7 * time.Second})
		var edge *enginetest.Edge
		if s.edged {
			edge = h.giveEdge()
		}
		if s.judged {
			h.remembers()
			h.analyses(edge)
		}
		h.push("v1.0.0", s.first)
		h.pass(2 * time.Minute)
		died := make(chan struct{})
		dead := false
		var one sync.Mutex // mutations of several containers come at once
		h.engine.Interrupt(func(op enginetest.Op, moment enginetest.Moment) error {
			one.Lock()
			defer one.Unlock()
			if s.floor > 0 && s.seldom == 0 && ready(h) < s.floor {
				t.Errorf("below the floor of %d at mutation %d, %s", s.floor, mutations, op)
			}
			if s.floor > 0 && s.edged && edge.Serving("web") < s.floor {
				t.Errorf("below the floor of %d at the edge at mutation %d, %s", s.floor, mutations, op)
			}
			if s.whole && len(handed(h, edge)) != 1 {
				t.Errorf("%v are handed work at mutation %d, %s", handed(h, edge), mutations, op)
			}
			if dead {
				return errKilled
			}
			if moment == enginetest.Before && op.Kind != enginetest.OpTag && op.Kind != enginetest.OpUntag {
				mutations++
			}
			if mutations == n && moment == at {
				dead = true
				h.record.die(true)
				close(died)
				return errKilled
			}
			return nil
		})
		// live lets d go by, with a new agent as soon as the one before has died.
		live := func(d time.Duration) {
			select {
			case <-died:
				h.stop()
				one.Lock()
				dead, died, n = false, nil, -1
				one.Unlock()
				h.record.die(false)
				h.boot()
				h.pass(d)
			case <-time.After(d):
				synctest.Wait()
			}
		}
		for i, content := range s.then {
			h.push(fmt.Sprintf("v1.%d.0", i+1), content)
			live(5 * time.Minute)
		}
		live(time.Hour) // standbys end
		h.engine.Interrupt(nil)
		if end = summary(h); s.edged {
			end += ", edge: " + strings.NewReplacer("/1", "", "/2", "", "/3", "", "/4", "", "/5", "", "/6", "").Replace(routes(h, edge))
			for _, wrong := range edge.Wrongs() {
				t.Errorf("killed %s mutation %d: %s", at, n, wrong)
			}
		}
	})
	return end, mutations
}

// ready counts the shop's containers that can answer.
func ready(h *host) int {
	n := 0
	for _, c := range h.observe().Containers {
		if c.State == reconcile.Running && c.Health == reconcile.Healthy && c.Service == "web" {
			n++
		}
	}
	return n
}

// summary is what must be equal however often an agent died: what runs, with its
// policy and its data, how many containers there are, and how Git's content stands.
func summary(h *host) string {
	var b strings.Builder
	volumes := map[string]bool{}
	stopped := 0
	for _, c := range h.observe().Containers {
		if !c.Running() {
			stopped++
			continue
		}
		alias := false
		for _, e := range c.Endpoints {
			for _, a := range e.Aliases {
				alias = alias || a == c.Service
			}
		}
		for _, v := range c.Volumes {
			volumes[v] = true
		}
		fmt.Fprintf(&b, "%s %s restart=%s alias=%v health=%s; ", c.Service, c.ImageRef, c.Restart, alias, c.Health)
	}
	for v := range volumes {
		if n := h.engine.MaxWriters(v); n > 1 {
			fmt.Fprintf(&b, "%d writers; ", n)
		}
	}
	fmt.Fprintf(&b, "%d volumes, %d stopped, %s", len(volumes), stopped, h.status().Sync)
	return b.String()
}
