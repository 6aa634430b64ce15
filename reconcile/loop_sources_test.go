package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
)

// memory is what outlives an agent beside its record.
type memory struct {
	mu   sync.Mutex
	kept map[string]string
}

func (m *memory) Remember(_ context.Context, key, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil {
		m.kept = map[string]string{}
	}
	m.kept[key] = value
	return nil
}

func (m *memory) Recall(_ context.Context, key string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.kept[key]
	return value, ok, nil
}

// several is a host that follows more than one source.
type several struct {
	*host
	memory *memory
	pushed int
}

// follow simulates a host with the sources a and b.
func follow(t *testing.T, f func(t *testing.T, h *several)) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		s := &several{host: h, memory: &memory{}}
		s.stop()
		s.reboot("a", "b")
		for _, version := range []string{"1.0", "1.1"} {
			s.image("shop:"+version, healthy())
		}
		s.image("shop:bad", sick())
		f(t, s)
	})
}

// reboot starts another agent that follows these sources.
func (s *several) reboot(sources ...string) {
	s.adjust = func(o *reconcile.Options) { o.Sources, o.Memory = sources, s.memory }
	s.boot()
}

// named is the stack of that name with one service of that version.
func named(t *testing.T, name, version string, settings ...string) *compose.Project {
	t.Helper()
	text := "name: " + name + "\n" + web(version)
	if len(settings) > 0 {
		text += "x-davit: {" + strings.Join(settings, ", ") + "}\n"
	}
	return loadProject(t, text)
}

// says has a source declare these stacks at a new commit.
func (s *several) says(source string, projects ...*compose.Project) {
	s.pushed++
	s.loop.Declare(reconcile.Declaration{Source: source, Projects: projects,
		Revision: reconcile.Revision{Source: source, Ref: "main", Commit: fmt.Sprintf("%040d", s.pushed), Version: fmt.Sprintf("v0.0.%d", s.pushed)}})
}

// stands is how every stack stands: a line for each.
func (s *several) stands() string {
	s.t.Helper()
	all, err := s.loop.Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, k := range all {
		line := fmt.Sprintf("%s of %s %s", k.Name, k.Source, k.Sync)
		if k.Sync == reconcile.SyncWaiting || k.Sync == reconcile.SyncStalled {
			line += ": " + k.WaitingFor
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// runs are all running containers as "shop shop:1.0", sorted.
func (s *several) runs() string {
	var out []string
	for _, c := range s.observe().Containers {
		if c.Running() {
			out = append(out, c.Stack+" "+c.ImageRef)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

const clash = ` stalled: the stack name "shop" is claimed by source "%s" (compose.yaml) and by source "%s" (compose.yaml), which had it first (give one of them another ` + "`name:`)"

func TestTheSourceThatHadANameFirstKeepsIt(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		h.says("a", named(t, "shop", "1.0"), named(t, "api", "1.0"))
		h.pass(time.Minute)
		h.says("b", named(t, "shop", "1.1"), named(t, "till", "1.0"))
		h.pass(time.Minute)
		h.expect("running", h.runs(), "api shop:1.0, shop shop:1.0, till shop:1.0")
		h.expect("status", h.stands(), "api of a synced\nshop of a synced\nshop of b"+fmt.Sprintf(clash, "b", "a")+"\ntill of b synced")
		told := h.emitted(reconcile.EventStalled)

		t.Log("the newcomer answers first after a restart, and the owner hangs")
		h.stop()
		h.reboot("a", "b")
		h.says("b", named(t, "shop", "1.1"), named(t, "till", "1.1"))
		h.pass(time.Minute)
		h.expect("running", h.runs(), "api shop:1.0, shop shop:1.0, till shop:1.1")
		h.says("a", named(t, "shop", "1.0"), named(t, "api", "1.1"))
		h.pass(time.Minute)
		h.expect("running", h.runs(), "api shop:1.1, shop shop:1.0, till shop:1.1")
		if told == 0 {
			t.Error("nobody was told")
		}

		t.Log("the owner gives the name up")
		h.says("a", named(t, "api", "1.1"))
		h.pass(time.Minute)
		h.expect("running", h.runs(), "api shop:1.1, shop shop:1.1, till shop:1.1")
		h.expect("status", h.stands(), "api of a synced\nshop of b synced\ntill of b synced")
	})
}

func TestAClashIsToldOnce(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		h.says("a", named(t, "shop", "1.0"))
		h.pass(time.Minute)
		h.says("b", named(t, "shop", "1.1"))
		h.pass(time.Hour)
		h.says("b", named(t, "shop", "1.0"))
		h.pass(time.Hour)
		if n := h.emitted(reconcile.EventStalled); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

func TestASilentSourceMakesNoOrphans(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		h.says("a", named(t, "shop", "1.0"))
		h.says("b", named(t, "till", "1.0"))
		h.pass(time.Minute)
		h.stop()
		h.reboot("a", "b")
		h.says("b")
		h.pass(time.Minute)
		h.expect("status", h.stands(), "shop of a waiting: no revision has been fetched yet\ntill of b orphaned")
		for _, c := range h.observe().Containers {
			if c.Stack == "shop" {
				h.engine.RemoveByHand(c.ID)
			}
		}
		h.pass(time.Minute)
		h.expect("drift is healed meanwhile", h.runs(), "shop shop:1.0, till shop:1.0")
	})
}

func TestStacksOfASourceThatIsNotConfiguredAnyMoreAreOrphans(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		h.says("a", named(t, "shop", "1.0"))
		h.says("b", named(t, "till", "1.0"))
		h.pass(time.Minute)
		h.stop()
		h.reboot("b")
		h.says("b", named(t, "till", "1.0"))
		h.pass(time.Minute)
		h.expect("status", h.stands(), "shop of a orphaned\ntill of b synced")
		h.expect("running", h.runs(), "shop shop:1.0, till shop:1.0")

		t.Log("whoever declares it next has it")
		h.says("b", named(t, "till", "1.0"), named(t, "shop", "1.1"))
		h.pass(time.Minute)
		h.expect("status", h.stands(), "shop of b synced\ntill of b synced")
	})
}

func TestABrokenNewcomerDoesNotStopTheOwner(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		h.says("a", named(t, "shop", "1.0"))
		h.pass(time.Minute)
		h.loop.Declare(reconcile.Declaration{Source: "b", Broken: map[string]error{"shop": errors.New("no image")}})
		h.says("a", named(t, "shop", "1.1"))
		h.pass(time.Minute)
		h.expect("running", h.runs(), "shop shop:1.1")
	})
}

func TestWhatIsDeclaredRemovedIsTakenDown(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		remove := func(source string) {
			h.pushed++
			h.loop.Declare(reconcile.Declaration{Source: source, Removed: []string{"shop"}, Revision: reconcile.Revision{Commit: fmt.Sprintf("%040d", h.pushed)}})
		}
		h.says("a", named(t, "shop", "1.0"))
		remove("b")
		h.pass(time.Minute)
		h.expect("another source has no say", h.runs(), "shop shop:1.0")
		h.says("a")
		h.pass(time.Minute)
		h.expect("nor for what is orphaned", h.runs(), "shop shop:1.0")
		remove("a")
		h.pass(time.Minute)
		h.expect("running", h.runs(), "")
		h.expect("status", h.stands(), "")
		if n := h.emitted(reconcile.EventRemoved); n != 1 {
			t.Errorf("told of %d removals", n)
		}
		h.says("a", named(t, "shop", "1.0"))
		h.pass(time.Minute)
		h.expect("it can come back", h.runs(), "shop shop:1.0")
	})
}

func TestADeployWaitsForTheStacksItDependsOn(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		h.image("shop:slow", enginetest.Behaviour{Healthcheck: true, HealthyAfter: 30 * time.Second})
		api := func(version string) *compose.Project { return named(t, "api", version, "depends_on: [database]") }
		h.says("a", api("1.0"))
		h.pass(time.Minute)
		h.expect("status", h.stands(), "api of a waiting: stack database is not declared")
		h.says("b", named(t, "database", "slow"))
		h.pass(20 * time.Second)
		h.expect("running", h.runs(), "database shop:slow")
		h.pass(time.Minute)
		h.expect("running", h.runs(), "api shop:1.0, database shop:slow")

		t.Log("what fails stops only its dependents, which stay where they are")
		h.says("b", named(t, "database", "bad"), named(t, "till", "1.0"))
		h.says("a", api("1.1"))
		h.pass(2 * time.Minute)
		h.expect("running", h.runs(), "api shop:1.0, database shop:slow, till shop:1.0")
		h.expect("status", h.stands(), "api of a waiting: stack database is held\ndatabase of b held\ntill of b synced")

		t.Log("a rollback waits for nobody")
		h.says("a", api("1.0"))
		h.pass(time.Minute)
		h.expect("status", h.stands(), "api of a synced\ndatabase of b held\ntill of b synced")
		h.says("a", api("1.1"))
		h.says("b", named(t, "database", "1.1"), named(t, "till", "1.0"))
		h.pass(2 * time.Minute)
		h.expect("running", h.runs(), "api shop:1.1, database shop:1.1, till shop:1.0")
		h.says("b", named(t, "database", "bad"), named(t, "till", "1.0"))
		h.pass(2 * time.Minute)
		h.says("a", api("1.0"))
		h.pass(time.Minute)
		h.expect("running", h.runs(), "api shop:1.0, database shop:1.1, till shop:1.0")
	})
}

func TestACircleOfStacksIsAnErrorOfTheirsAlone(t *testing.T) {
	follow(t, func(t *testing.T, h *several) {
		h.says("a", named(t, "api", "1.0", "depends_on: [shop]"), named(t, "till", "1.0"))
		h.says("b", named(t, "shop", "1.0", "depends_on: [api]"), named(t, "web", "1.0", "depends_on: [shop]"))
		h.pass(time.Minute)
		h.expect("status", h.stands(), "api of a stalled: stacks wait for each other: api -> shop -> api\n"+
			"shop of b stalled: stacks wait for each other: shop -> api -> shop\ntill of a synced\nweb of b waiting: stack shop is stalled")
		h.says("b", named(t, "shop", "1.0"), named(t, "web", "1.0", "depends_on: [shop]"))
		h.pass(time.Minute)
		h.expect("running", h.runs(), "api shop:1.0, shop shop:1.0, till shop:1.0, web shop:1.0")
	})
}
