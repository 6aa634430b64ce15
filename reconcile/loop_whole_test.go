package reconcile_test

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"davit/engine/enginetest"
	"davit/reconcile"
)

// TestAWholeStackComesToRestWhateverHappens is the life of a stack of many kinds: a
// database with a volume, a tunnel with an unnamed one, who shares its network and who
// its volumes, two replicas that are replaced side by side, commands after the start,
// and a network whose definition changes; deployed by davit, or adopted. Agents die,
// calls fail, the engine restarts, people meddle. In the end nobody may ever have
// written beside another, everything runs, is plugged in and refers to what runs, and
// nothing more is done.
func TestAWholeStackComesToRestWhateverHappens(t *testing.T) {
	fewer(t, "30")
	rapid.Check(t, func(rt *rapid.T) {
		adopted := rapid.Bool().Draw(rt, "adopted")
		var events []mishap
		for range rapid.IntRange(1, 5).Draw(rt, "events") {
			events = append(events, mishap{
				what:    rapid.IntRange(0, 13).Draw(rt, "what"),
				which:   rapid.IntRange(0, 9).Draw(rt, "which"),
				content: drawContent(rt),
				at:      rapid.IntRange(1, 40).Draw(rt, "mutation"),
				after:   rapid.Bool().Draw(rt, "after it"),
				then:    time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds after")) * time.Second,
			})
		}
		problem := ""
		simulate(t, func(t *testing.T, h *host) {
			w := &whole{host: h, adopted: adopted}
			w.begin()
			for _, m := range events {
				w.suffer(m)
			}
			if problem = w.rest(); problem != "" {
				problem += fmt.Sprintf("\nadopted %v, %v\nrunning %s\n%s\n%s\n%s", adopted, events, h.running(), h.containers(), h.history(), h.story())
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

// fewer has a test whose every check is long make so many of them, unless the command
// line says how many.
func fewer(t *testing.T, checks string) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if f == nil || f.Value.String() != f.DefValue {
		return
	}
	if err := flag.Set(f.Name, checks); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(f.Name, f.DefValue); err != nil {
			t.Error(err)
		}
	})
}

// content is what a revision of the whole stack says.
type content struct {
	web, db, vpn, app int
	internal, reader  bool
}

func drawContent(rt *rapid.T) content {
	return content{
		web: rapid.IntRange(1, 3).Draw(rt, "web"), db: rapid.IntRange(1, 3).Draw(rt, "db"), vpn: rapid.IntRange(1, 2).Draw(rt, "vpn"),
		app: rapid.IntRange(1, 2).Draw(rt, "app"), internal: rapid.Bool().Draw(rt, "internal"), reader: rapid.Bool().Draw(rt, "reader"),
	}
}

// good reports whether the content can run: the third image of a kind is sick.
func (c content) good() bool { return c.web < 3 && c.db < 3 }

func (c content) yaml() string {
	text := fmt.Sprintf(`services:
  db: {image: "db:%d", restart: always, volumes: ["data:/data"], x-davit: {monitor: 2s}}
  web: {image: "web:%d", restart: always, deploy: {replicas: 2}, depends_on: [db], post_start: [{command: [/warm]}], x-davit: {monitor: 2s}}
  vpn: {image: "vpn:%d", restart: always, volumes: [/keys], x-davit: {monitor: 2s}}
  app: {image: "app:%d", restart: always, network_mode: "service:vpn", x-davit: {monitor: 2s}}
`, c.db, c.web, c.vpn, c.app)
	if c.reader {
		text += "  reader: {image: \"app:1\", restart: always, volumes_from: [vpn], x-davit: {monitor: 2s}}\n"
	}
	return text + fmt.Sprintf("networks: {default: {internal: %v}}\nvolumes: {data: }\n", c.internal)
}

// mishap is one thing that happens to the stack, and the time until the next.
type mishap struct {
	what, which int
	content     content
	at          int
	after       bool
	then        time.Duration
}

func (m mishap) String() string {
	words := []string{"push", "push", "push", "push and the agent dies", "push and a call fails", "push and the engine is away for a call", "push and the engine restarts",
		"the engine restarts", "a container dies", "a container is removed", "a container is stopped and started", "restart", "rollback", "a call fails for a minute"}
	return fmt.Sprintf("{%s %d %+v at %d %v, %s}", words[m.what], m.which, m.content, m.at, m.after, m.then)
}

// whole is a host with the stack of many kinds.
type whole struct {
	*host
	last    content
	adopted bool
}

func (w *whole) begin() {
	for _, image := range []string{"web:1", "web:2", "db:1", "db:2", "vpn:1", "vpn:2", "app:1", "app:2"} {
		w.image(image, healthy())
	}
	w.image("web:3", sick())
	w.image("db:3", sick())
	w.last = content{web: 1, db: 1, vpn: 1, app: 1, reader: true}
	if w.adopted {
		// What shares namespaces is davit's own: the twin's Compose cannot make it.
		w.composeUp("services:\n  db: {image: \"db:1\", restart: always, volumes: [\"data:/data\"]}\n  web: {image: \"web:1\", restart: always, deploy: {replicas: 2}}\nvolumes: {data: }\n")
	}
	w.push("v1.0.0", w.last.yaml())
	w.pass(time.Minute)
	if w.adopted {
		w.agree()
	}
	w.pass(5 * time.Minute)
}

func (w *whole) suffer(m mishap) {
	ctx := w.t.Context()
	all := w.observe().Containers
	c := all[m.which%max(len(all), 1)]
	switch m.what {
	case 3, 4, 5, 6, 13:
		w.interrupt(m)
		fallthrough
	case 0, 1, 2:
		w.last = m.content
		w.push(fmt.Sprintf("v1.%d.0", w.pushes), m.content.yaml())
	case 7:
		w.engine.RestartDaemon()
	case 8:
		w.engine.Kill(c.ID)
	case 9:
		w.engine.RemoveByHand(c.ID)
	case 10:
		// Who starts an old database by hand beside the new one has two writers.
		if c.Running() && c.Service == "web" {
			w.engine.StopByHand(c.ID)
			w.pass(5 * time.Second)
			w.engine.StartByHand(c.ID)
		}
	case 11:
		_ = w.loop.Restart(ctx, reconcile.ServiceRequest{Stack: "shop", Service: []string{"", "db", "web", "vpn", "app"}[m.which%5], Actor: "ann"})
	case 12:
		_, _ = w.loop.Rollback(ctx, reconcile.RollbackRequest{Stack: "shop", Actor: "ann"})
	}
	w.pass(m.then)
	if m.what == 3 {
		// The old one is gone before another begins.
		w.record.die(true)
		w.stop()
		w.record.die(false)
		w.engine.Interrupt(nil)
		w.boot()
		w.pass(m.then)
	}
	w.engine.Interrupt(nil)
}

// interrupt has something happen at one of the next mutations.
func (w *whole) interrupt(m mishap) {
	var one sync.Mutex
	n, dead := 0, false
	w.engine.Interrupt(func(op enginetest.Op, at enginetest.Moment) error {
		one.Lock()
		if at == enginetest.Before && op.Kind != enginetest.OpTag && op.Kind != enginetest.OpUntag {
			n++
		}
		now := n == m.at && (at == enginetest.After) == m.after
		dead = dead || now && m.what == 3
		gone := dead
		later := n >= m.at && at == enginetest.Before
		one.Unlock()
		switch {
		case gone:
			w.record.die(true)
			return errKilled
		case m.what == 4 && now:
			return errors.New("no such luck")
		case m.what == 5 && now:
			return fmt.Errorf("request: %w", reconcile.ErrEngineUnavailable)
		case m.what == 6 && now:
			w.engine.RestartDaemon()
		case m.what == 13 && later:
			return fmt.Errorf("request: %w", reconcile.ErrDiskFull)
		}
		return nil
	})
}

// rest lets everything settle and says what is wrong.
func (w *whole) rest() string {
	_ = w.loop.Unpin(w.t.Context(), "shop", "ann")
	w.pass(time.Hour)
	status := w.status().Sync
	if status != reconcile.SyncHeld && status != reconcile.SyncSynced {
		return "it ends " + string(status)
	}
	if status == reconcile.SyncSynced && !w.last.good() {
		return "synced with content that is sick"
	}
	w.pass(time.Hour)
	told, rows := w.told(), w.history()
	w.engine.ClearLog()
	w.pass(time.Hour)
	switch {
	case w.acts() != "":
		return "it acts for ever:\n" + w.acts()
	case w.told() != told:
		return "it talks for ever"
	case w.history() != rows:
		return "releases are made for ever"
	}
	for _, v := range w.engine.Volumes() {
		if n := w.writersOf(v); n > 1 {
			return fmt.Sprintf("%d writers of %s", n, v)
		}
	}
	return w.ends(status)
}

// writersOf is how many containers wrote a volume at one time, other than on loan.
func (w *whole) writersOf(volume string) int {
	n := w.engine.MaxWriters(volume)
	if volume != "shop_data" && n == 2 {
		return 1 // the tunnel and its reader
	}
	return n
}

// ends says what is wrong with what runs.
func (w *whole) ends(status reconcile.Sync) string {
	up, count := map[string]bool{}, map[string]int{}
	all := w.observe().Containers
	for _, c := range all {
		up[c.ID] = c.Running()
	}
	for _, c := range all {
		if !c.Running() {
			continue
		}
		count[c.Service]++
		for _, id := range c.Borrows {
			if !up[id] {
				return c.Name + " refers to a container that does not run"
			}
		}
		if known := c.Service == "web" || c.Service == "db" || !w.adopted || status == reconcile.SyncSynced; known && c.Restart != "always" {
			return c.Name + " has the restart policy " + c.Restart
		}
		if end, in := c.Endpoints["shop_default"]; c.Service != "app" && (!in || !slices.Contains(end.Aliases, c.Service)) {
			return c.Name + " is not to be found"
		}
		if want, ok := map[string]string{"web": fmt.Sprint("web:", w.last.web), "db": fmt.Sprint("db:", w.last.db),
			"vpn": fmt.Sprint("vpn:", w.last.vpn), "app": fmt.Sprint("app:", w.last.app)}[c.Service]; ok && status == reconcile.SyncSynced && c.ImageRef != want {
			return c.Name + " runs " + c.ImageRef
		}
		if strings.HasSuffix(c.ImageRef, ":3") {
			return c.Name + " is sick"
		}
	}
	// What was adopted, and may be what it goes back to, knew of no tunnel.
	tunnel := count["vpn"] == 1 && count["app"] == 1 || w.adopted && status == reconcile.SyncHeld
	if count["web"] != 2 || count["db"] != 1 || !tunnel || count["vpn"] > 1 || count["app"] > 1 || count["reader"] > 1 {
		return fmt.Sprintf("%v run", count)
	}
	return ""
}
