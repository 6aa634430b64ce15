package reconcile_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestRollouts is the table of docs/rollouts.md: what becomes of a release that fails like
// that, by the way in which it goes in.
func TestRollouts(t *testing.T) {
	for _, c := range table {
		t.Run(c.strategy+", "+c.failure, func(t *testing.T) {
			t.Parallel()
			got := strategies[c.strategy].meets(t, failures[c.failure])
			if got.release != c.release || got.stack != c.stack || got.serves != c.serves {
				t.Errorf("ends as %s", got.ending)
			}
			if most := c.lost.of(rate); got.failed > most || got.failed == 0 && most > 0 {
				t.Errorf("%d requests failed, want %s, at most %d", got.failed, c.lost, most)
			}
			t.Logf("%d requests failed", got.failed)
			if t.Failed() {
				t.Logf("%s\n%s", got.history, got.story)
			}
		})
	}
}

// table is that of the document, row by row.
var table = []ending{
	{"stop-first", "image missing", "not begun", "waiting", "old", none},
	{"stop-first", "never healthy", "failed, rolled back", "held", "old", none},
	{"stop-first", "unhealthy after the shift", "failed, rolled back", "held", "old", most(100, 4*time.Second)},
	{"stop-first", "20 % errors", "succeeded", "synced", "new", always(20)},
	{"stop-first", "p99 doubled", "succeeded", "synced", "new", none},
	{"stop-first", "OOM at load", "failed, rolled back", "held", "old", most(100, time.Second)},
	{"stop-first", "hook fails", "failed, rolled back", "held", "old", none},
	{"stop-first", "engine restarts", "interrupted, succeeded", "synced", "new", none},
	{"stop-first", "agent killed", "interrupted, succeeded", "synced", "new", most(100, 15*time.Second)},

	{"rolling, 1 replica", "image missing", "not begun", "waiting", "old", none},
	{"rolling, 1 replica", "never healthy", "failed, rolled back", "held", "old", none},
	{"rolling, 1 replica", "unhealthy after the shift", "failed, rolled back", "held", "old", most(100, 6*time.Second)},
	{"rolling, 1 replica", "20 % errors", "succeeded", "synced", "new", always(20)},
	{"rolling, 1 replica", "p99 doubled", "succeeded", "synced", "new", none},
	{"rolling, 1 replica", "OOM at load", "failed, rolled back", "held", "old", most(100, time.Second)},
	{"rolling, 1 replica", "hook fails", "failed, rolled back", "held", "old", none},
	{"rolling, 1 replica", "engine restarts", "interrupted, succeeded", "synced", "new", none},
	{"rolling, 1 replica", "agent killed", "interrupted, succeeded", "synced", "new", none},

	{"rolling, 3 replicas", "image missing", "not begun", "waiting", "old", none},
	{"rolling, 3 replicas", "never healthy", "failed, rolled back", "held", "old", none},
	{"rolling, 3 replicas", "unhealthy after the shift", "failed, rolled back", "held", "old", most(100, 6*time.Second)},
	{"rolling, 3 replicas", "20 % errors", "succeeded", "synced", "new", always(20)},
	{"rolling, 3 replicas", "p99 doubled", "succeeded", "synced", "new", none},
	{"rolling, 3 replicas", "OOM at load", "failed, rolled back", "held", "old", most(100, time.Second)},
	{"rolling, 3 replicas", "hook fails", "failed, rolled back", "held", "old", none},
	{"rolling, 3 replicas", "engine restarts", "interrupted, succeeded", "synced", "new", none},
	{"rolling, 3 replicas", "agent killed", "interrupted, succeeded", "synced", "new", none},

	{"rolling, 3 replicas, judged", "image missing", "not begun", "waiting", "old", none},
	{"rolling, 3 replicas, judged", "never healthy", "failed, rolled back", "held", "old", none},
	{"rolling, 3 replicas, judged", "unhealthy after the shift", "failed, rolled back", "held", "old", most(34, 6*time.Second)},
	{"rolling, 3 replicas, judged", "20 % errors", "failed, rolled back", "held", "old", most(7, 12*time.Second)},
	{"rolling, 3 replicas, judged", "p99 doubled", "failed, rolled back", "held", "old", none},
	{"rolling, 3 replicas, judged", "OOM at load", "failed, rolled back", "held", "old", most(34, time.Second)},
	{"rolling, 3 replicas, judged", "hook fails", "failed, rolled back", "held", "old", none},
	{"rolling, 3 replicas, judged", "engine restarts", "interrupted, succeeded", "synced", "new", none},
	{"rolling, 3 replicas, judged", "agent killed", "interrupted, succeeded", "synced", "new", none},

	{"blue-green, 3 replicas, judged", "image missing", "not begun", "waiting", "old", none},
	{"blue-green, 3 replicas, judged", "never healthy", "failed, rolled back", "held", "old", none},
	{"blue-green, 3 replicas, judged", "unhealthy after the shift", "failed, rolled back", "held", "old", most(100, 6*time.Second)},
	{"blue-green, 3 replicas, judged", "20 % errors", "failed, rolled back", "held", "old", most(20, 12*time.Second)},
	{"blue-green, 3 replicas, judged", "p99 doubled", "succeeded", "synced", "new", none},
	{"blue-green, 3 replicas, judged", "OOM at load", "failed, rolled back", "held", "old", most(100, time.Second)},
	{"blue-green, 3 replicas, judged", "hook fails", "failed, rolled back", "held", "old", none},
	{"blue-green, 3 replicas, judged", "engine restarts", "interrupted, succeeded", "synced", "new", none},
	{"blue-green, 3 replicas, judged", "agent killed", "interrupted, succeeded", "synced", "new", none},

	{"canary", "image missing", "not begun", "waiting", "old", none},
	{"canary", "never healthy", "failed, rolled back", "held", "old", none},
	{"canary", "unhealthy after the shift", "failed, rolled back", "held", "old", most(5, 6*time.Second)},
	{"canary", "20 % errors", "failed, rolled back", "held", "old", most(6, 10*time.Second)},
	{"canary", "p99 doubled", "failed, rolled back", "held", "old", none},
	{"canary", "OOM at load", "failed, rolled back", "held", "old", most(30, time.Second)},
	{"canary", "hook fails", "failed, rolled back", "held", "old", none},
	{"canary", "engine restarts", "succeeded", "synced", "new", none},
	{"canary", "agent killed", "interrupted, succeeded", "synced", "new", none},
}

// rate is how many requests come in a second, and watched how long they do after the
// release was declared.
const (
	rate    = 40
	watched = 15 * time.Minute
)

// strategy is how a release goes in.
type strategy struct {
	replicas int
	// davit is what it says of itself in the file.
	davit string
	// midst is how long after it is declared its release is under way.
	midst time.Duration
}

var strategies = map[string]strategy{
	"stop-first":                     {1, `order: stop-first, ports: {"8080": {via: edge}}`, time.Second},
	"rolling, 1 replica":             {1, "", time.Second},
	"rolling, 3 replicas":            {3, "", 3 * time.Second},
	"rolling, 3 replicas, judged":    {3, judged, 3 * time.Second},
	"blue-green, 3 replicas, judged": {3, "strategy: blue-green, " + judged, 3 * time.Second},
	"canary":                         {1, "strategy: canary, canary: {steps: [{weight: 5, hold: 1m}, {weight: 30, hold: 2m}], " + judged + "}", 90 * time.Second},
}

const judged = "analysis: {metrics: [error_rate: {}, p99: {}, restarts: {}, oom_kills: {}]}"

// failure is what happens to a release.
type failure struct {
	// image does what the new one does; nil for one that is not there.
	image func() enginetest.Behaviour
	// davit is what the file says besides.
	davit string
	// strikes happens to the host while the release goes in.
	strikes func(h *host)
}

var failures = map[string]failure{
	"image missing":             {},
	"never healthy":             {image: sick},
	"unhealthy after the shift": {image: with(func(b *enginetest.Behaviour) { b.MuteAfter, b.UnhealthyAfter = 20*time.Second, 21*time.Second })},
	"20 % errors":               {image: with(func(b *enginetest.Behaviour) { b.Errors, b.ErrorsFrom = 0.2, 150 })},
	"p99 doubled":               {image: with(func(b *enginetest.Behaviour) { b.Latency *= 2 })},
	"OOM at load":               {image: with(func(b *enginetest.Behaviour) { b.DiesAt, b.OOM = 150, true })},
	"hook fails": {image: with(func(b *enginetest.Behaviour) { b.Hooks = map[reconcile.HookPhase]int{reconcile.HookPreDeploy: 3} }),
		davit: "hooks: {pre_deploy: [{run: [/app, migrate], timeout: 1m}]}"},
	"engine restarts": {image: serving, strikes: func(h *host) {
		h.engine.StopDaemon()
		h.pass(2 * time.Second)
		h.engine.StartDaemon()
	}},
	"agent killed": {image: serving, strikes: func(h *host) {
		h.stop()
		h.pass(20 * time.Second)
		h.boot()
	}},
}

// serving is the behaviour of a good image under load.
func serving() enginetest.Behaviour {
	b := healthy()
	b.Latency = 80 * time.Millisecond
	return b
}

// with is that of an image that is not as good.
func with(flaw func(*enginetest.Behaviour)) func() enginetest.Behaviour {
	return func() enginetest.Behaviour {
		b := serving()
		flaw(&b)
		return b
	}
}

// ending is a row of the table.
type ending struct {
	strategy, failure string
	// release is how it ended, stack what the status says then, serves which one has all
	// the traffic, with as many replicas as are declared, and nothing else beside it.
	release, stack, serves string
	lost                   budget
}

func (e ending) String() string {
	return fmt.Sprintf("%s | %s | %s", e.release, e.stack, e.serves)
}

// budget is how many requests may fail: a share of them, for so long; 0 of time is for as
// long as the new release serves.
type budget struct {
	percent int
	during  time.Duration
}

var none = budget{}

func most(percent int, during time.Duration) budget { return budget{percent, during} }
func always(percent int) budget                     { return budget{percent, 0} }

func (b budget) String() string {
	switch {
	case b == none:
		return "none"
	case b.during == 0:
		return fmt.Sprintf("%d %% until it is taken back", b.percent)
	}
	return fmt.Sprintf("at most %d %% of %s", b.percent, b.during)
}

// of is the budget in requests.
func (b budget) of(rate int) int {
	during := b.during
	if b.percent > 0 && during == 0 {
		during = watched
	}
	return b.percent * rate * int(during/time.Second) / 100
}

// outcome is what came of a release.
type outcome struct {
	ending
	failed         int
	history, story string
}

// content is version as the strategy has it.
func (s strategy) content(tag, more string) string {
	davit := []string{"monitor: 30s"}
	for _, part := range []string{s.davit, more} {
		if part != "" {
			davit = append(davit, part)
		}
	}
	return published(tag) + fmt.Sprintf("    deploy: {replicas: %d}\n    x-davit: {%s}\n", s.replicas, strings.Join(davit, ", "))
}

// meets has a release go in by the strategy, under load, and fail like that.
func (s strategy) meets(t *testing.T, f failure) (out outcome) {
	t.Helper()
	simulate(t, func(t *testing.T, h *host) {
		edge := h.giveEdge()
		h.remembers()
		h.analyses(edge)
		h.image("shop:old", serving())
		h.push("v1.0.0", s.content("old", ""))
		h.pass(2 * time.Minute)
		h.expect("history", h.history(), "#1 deploy v1.0.0 succeeded")
		edge.Crowd("web", rate)
		h.pass(10 * time.Second)
		if f.image != nil {
			h.image("shop:new", f.image())
		}
		h.push("v1.1.0", s.content("new", f.davit))
		h.pass(s.midst)
		if f.strikes != nil {
			f.strikes(h)
		}
		h.pass(watched)
		out = outcome{failed: edge.Tally("web").Failed, history: h.history(), story: h.story()}
		out.release, out.stack, out.serves = ended(h), string(h.status().Sync), s.serves(h, edge)
		for _, wrong := range edge.Wrongs() {
			t.Error(wrong)
		}
	})
	return out
}

// ended is how the release of the history that is not the first came to its end.
func ended(h *host) string {
	var out []string
	for _, line := range strings.Split(h.history(), "\n")[1:] {
		words := strings.Fields(line)
		switch kind, outcome := words[1], words[3]; {
		case kind == "auto-rollback" && outcome == "succeeded":
			out = append(out, "rolled back")
		default:
			out = append(out, outcome)
		}
	}
	if len(out) == 0 {
		return "not begun"
	}
	return strings.Join(out, ", ")
}

// serves is which of both releases has all the traffic, with nothing beside it but what
// stands by.
func (s strategy) serves(h *host, edge *enginetest.Edge) string {
	h.t.Helper()
	standby := h.status().Services[0].Standby
	for _, tag := range []string{"old", "new"} {
		if h.count("shop:"+tag) == s.replicas && slices.Equal(handed(h, edge), []string{"shop:" + tag}) && edge.Serving("web") == s.replicas && shared(h, edge) == "" && strings.Count(h.running(), ",") == s.replicas+standby-1 {
			return tag
		}
	}
	return h.running() + " behind " + routes(h, edge) + " " + shared(h, edge)
}

// TestTheDocumentSaysWhatTheTableDoes: neither is changed without the other.
func TestTheDocumentSaysWhatTheTableDoes(t *testing.T) {
	text, err := os.ReadFile("../docs/rollouts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## The table\n")
	if !found {
		t.Fatal("docs/rollouts.md has no table")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var want []string
	for _, c := range table {
		want = append(want, strings.Join([]string{c.strategy, c.failure, c.String(), c.lost.String()}, " | "))
	}
	if said := rows(section); !slices.Equal(said, want) {
		t.Errorf("docs/rollouts.md says:\n%s\nand the table is:\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

// rows are those of the table in a text, without its head, each with its strategy.
func rows(text string) []string {
	var out []string
	last := ""
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 6 || cells[0] == "strategy" || strings.HasPrefix(cells[0], "---") {
			continue
		}
		last = cmp.Or(cells[0], last)
		cells[0] = last
		out = append(out, strings.Join(cells, " | "))
	}
	return out
}
