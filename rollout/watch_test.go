package rollout

import (
	"errors"
	"testing"
	"time"

	"davit/reconcile"
)

const (
	away = true
	ms   = time.Millisecond
	sec  = time.Second
)

// glance is one look at a container at a moment after its creation.
type glance struct {
	at   time.Duration
	away bool
	c    reconcile.Container
}

// zero is the moment from which glances count.
var zero = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// ran is a container that started at a moment.
func ran(state reconcile.ContainerState, started time.Duration, edit ...func(*reconcile.Container)) reconcile.Container {
	c := reconcile.Container{State: state, Started: zero.Add(started)}
	for _, e := range edit {
		e(&c)
	}
	return c
}

func health(h reconcile.Health) func(*reconcile.Container) {
	return func(c *reconcile.Container) { c.Health = h }
}

func code(n int, finished time.Duration) func(*reconcile.Container) {
	return func(c *reconcile.Container) { c.ExitCode, c.Finished = n, zero.Add(finished) }
}

func restarts(n int) func(*reconcile.Container) {
	return func(c *reconcile.Container) { c.Restarts = n }
}

func oom(c *reconcile.Container) { c.OOMKilled = true }

func restart(p string) func(*reconcile.Container) {
	return func(c *reconcile.Container) { c.Restart = p }
}

// verdictOf lets w take the looks in turn. The verdict is "" while it is open.
func verdictOf(w *watch, looks []glance) (string, error) {
	for _, g := range looks {
		now := zero.Add(g.at)
		if g.away {
			w.miss()
			continue
		}
		verdict, passed, err := w.look(g.c, now)
		if passed || err != nil {
			if passed && verdict == "" {
				verdict = "passed"
			}
			return verdict, err
		}
	}
	return "", nil
}

func TestGates(t *testing.T) {
	ready := func(stable time.Duration) reconcile.Gate {
		return reconcile.Gate{StableFor: stable, Timeout: 2 * time.Minute}
	}
	may := ready(5 * sec)
	may.MayComplete = true
	completed := reconcile.Gate{Kind: reconcile.GateCompleted, Timeout: time.Minute}
	monitor := reconcile.Gate{Kind: reconcile.GateMonitor, StableFor: 10 * sec}
	const up, exited, again = reconcile.Running, reconcile.Exited, reconcile.Restarting
	starting, well, ill := health(reconcile.HealthStarting), health(reconcile.Healthy), health(reconcile.Unhealthy)

	for _, c := range []struct {
		name  string
		gate  reconcile.Gate
		looks []glance
		want  string // verdict or fault; "" for open
		fault bool
	}{
		// Readiness.
		{"healthy passes at once", ready(0), []glance{{0, !away, ran(up, 0, starting)}, {1300 * ms, !away, ran(up, 0, well)}}, "healthy after 1.3s", false},
		{"starting waits", ready(0), []glance{{0, !away, ran(up, 0, starting)}, {time.Minute, !away, ran(up, 0, starting)}}, "", false},
		{"healthy has to last", ready(5 * sec), []glance{{sec, !away, ran(up, 0, well)}, {5900 * ms, !away, ran(up, 0, well)}}, "", false},
		{"healthy that lasted passes", ready(5 * sec), []glance{{sec, !away, ran(up, 0, well)}, {6 * sec, !away, ran(up, 0, well)}}, "healthy after 1s", false},
		{"running counts from the container's start", ready(5 * sec), []glance{{5 * sec, !away, ran(up, 0)}}, "running for 5s", false},
		{"running for too short a time waits", ready(5 * sec), []glance{{4900 * ms, !away, ran(up, 0)}}, "", false},
		{"a restart begins anew", ready(5 * sec), []glance{{4 * sec, !away, ran(up, 0)}, {6 * sec, !away, ran(up, 5*sec, restarts(1))}}, "", false},
		{"a restart by hand begins anew", ready(5 * sec), []glance{{4 * sec, !away, ran(up, 0)}, {6 * sec, !away, ran(up, 5*sec)}, {9900 * ms, !away, ran(up, 5*sec)}}, "", false},
		{"readiness after a restart passes", ready(5 * sec), []glance{{4 * sec, !away, ran(up, 0)}, {6 * sec, !away, ran(up, 5*sec)}, {10 * sec, !away, ran(up, 5*sec)}}, "running for 5s", false},
		{"a lapse of health begins anew", ready(5 * sec), []glance{{sec, !away, ran(up, 0, well)}, {4 * sec, !away, ran(up, 0, starting)}, {5 * sec, !away, ran(up, 0, well)}, {9 * sec, !away, ran(up, 0, well)}}, "", false},
		{"health that a restart did not interrupt begins anew all the same", ready(5 * sec), []glance{{sec, !away, ran(up, 0, well)}, {4 * sec, !away, ran(up, 3*sec, well)}, {8 * sec, !away, ran(up, 3*sec, well)}}, "", false},
		{"a pause is not running", ready(5 * sec), []glance{{sec, !away, ran(up, 0)}, {4 * sec, !away, ran(reconcile.Paused, 0)}, {6 * sec, !away, ran(up, 0)}}, "", false},
		{"a clock that is ahead does not delay for longer than the time asked for", ready(5 * sec), []glance{{0, !away, ran(up, time.Hour)}, {5 * sec, !away, ran(up, time.Hour)}}, "running for 5s", false},
		{"nor does it keep a monitor from ending", monitor, []glance{{0, !away, ran(up, time.Hour)}, {10 * sec, !away, ran(up, time.Hour)}}, "passed", false},
		{"nor a timeout from coming", ready(0), []glance{{0, !away, ran(up, time.Hour, starting)}, {2 * time.Minute, !away, ran(up, time.Hour, starting)}}, "web/3 did not become healthy within 2m: its health is starting", true},
		// Early failures.
		{"an exit fails", ready(5 * sec), []glance{{sec, !away, ran(exited, 0, code(2, 1300*ms))}}, "web/3 exited with code 2 after 1.3s", true},
		{"even with code 0", ready(5 * sec), []glance{{sec, !away, ran(exited, 0, code(0, sec))}}, "web/3 exited with code 0 after 1s", true},
		{"unless it may", may, []glance{{sec, !away, ran(exited, 0, code(0, sec))}}, "completed after 1s", false},
		{"which no other code is", may, []glance{{sec, !away, ran(exited, 0, code(1, sec))}}, "web/3 exited with code 1 after 1s", true},
		{"a kill for memory fails", ready(5 * sec), []glance{{sec, !away, ran(exited, 0, code(137, 2*sec), oom)}}, "web/3 was killed for lack of memory after 2s", true},
		{"so does one of a child", ready(5 * sec), []glance{{0, !away, ran(up, 0)}, {sec, !away, ran(up, 0, oom)}}, "web/3 ran out of memory after 1s", true},
		{"one from before the gate is history", ready(5 * sec), []glance{{sec, !away, ran(up, -time.Hour, oom)}}, "running for 1h0m1s", false},
		{"but not after the next start", ready(5 * sec), []glance{{sec, !away, ran(up, -2*sec, oom)}, {2 * sec, !away, ran(up, 2*sec, oom)}}, "web/3 ran out of memory after 0s", true},
		{"a dead one fails", ready(0), []glance{{sec, !away, ran(reconcile.Dead, 0)}}, "web/3 is dead", true},
		{"unhealthy fails at once", ready(0), []glance{{0, !away, ran(up, 0, starting)}, {12 * sec, !away, ran(up, 0, ill)}}, "web/3 became unhealthy after 12s", true},
		{"a restart loop fails", ready(5 * sec), []glance{{sec, !away, ran(again, 0, code(3, sec))}}, "web/3 is in a restart loop, it exited with code 3", true},
		{"so do restarts that only the count shows", ready(5 * sec), []glance{{sec, !away, ran(up, 0)}, {2 * sec, !away, ran(up, sec, restarts(1))}, {3 * sec, !away, ran(up, 2*sec, restarts(2))}},
			"web/3 restarted by itself 2 times", true},
		{"restarts before the gate are history", ready(5 * sec), []glance{{sec, !away, ran(up, -time.Hour, restarts(9))}}, "running for 1h0m1s", false},
		// Timeouts.
		{"too late is counted from the start", ready(0), []glance{{0, !away, ran(up, -110*sec, starting)}, {10 * sec, !away, ran(up, -110*sec, starting)}}, "web/3 did not become healthy within 2m: its health is starting", true},
		{"restarts do not put it off", ready(5 * sec), []glance{{0, !away, ran(up, 0, starting)}, {119 * sec, !away, ran(up, 118*sec, starting)}, {120 * sec, !away, ran(up, 118*sec, starting)}}, "web/3 did not become healthy within 2m: its health is starting", true},
		{"being ready, though not for long enough, does", ready(5 * sec), []glance{{0, !away, ran(up, 0, starting)}, {119 * sec, !away, ran(up, 0, well)}, {121 * sec, !away, ran(up, 0, well)}}, "", false},
		{"one that never started is late too", ready(0), []glance{{0, !away, reconcile.Container{}}, {2 * time.Minute, !away, reconcile.Container{}}}, "web/3 did not become ready within 2m: it is created", true},
		{"without a timeout it waits", reconcile.Gate{}, []glance{{0, !away, ran(up, 0, starting)}, {time.Hour, !away, ran(up, 0, starting)}}, "", false},
		// One-shots.
		{"code 0 completes", completed, []glance{{0, !away, ran(up, 0)}, {sec, !away, ran(exited, 0, code(0, 400*ms))}}, "completed after 0.4s", false},
		{"another code does not", completed, []glance{{sec, !away, ran(exited, 0, code(1, 400*ms))}}, "web/3 exited with code 1 after 0.4s", true},
		{"running is not completion", completed, []glance{{30 * sec, !away, ran(up, 0)}}, "", false},
		{"health is no matter", completed, []glance{{30 * sec, !away, ran(up, 0, ill)}}, "", false},
		{"not completing in time fails", completed, []glance{{30 * sec, !away, ran(up, 0)}, {time.Minute, !away, ran(up, 0)}}, "web/3 did not complete within 1m: it is running", true},
		{"attempts that were asked for are waited for", completed, []glance{{sec, !away, ran(up, 0, restart("on-failure:5"))}, {2 * sec, !away, ran(again, 0, restarts(3), restart("on-failure:5"))}}, "", false},
		{"others are not", completed, []glance{{2 * sec, !away, ran(again, 0, code(1, sec), restart("always"))}}, "web/3 is in a restart loop, it exited with code 1", true},
		// Monitors.
		{"nothing bad for the whole time passes", monitor, []glance{{0, !away, ran(up, -time.Hour)}, {10 * sec, !away, ran(up, -time.Hour)}}, "passed", false},
		{"a shorter time does not", monitor, []glance{{0, !away, ran(up, -time.Hour)}, {9 * sec, !away, ran(up, -time.Hour)}}, "", false},
		{"an exit in it fails", monitor, []glance{{0, !away, ran(up, -time.Hour)}, {sec, !away, ran(exited, 0, code(1, sec))}}, "web/3 exited with code 1 after 1s", true},
		{"unhealthy in it fails", monitor, []glance{{9 * sec, !away, ran(up, 0, ill)}}, "web/3 became unhealthy after 9s", true},
		{"one crash in it fails", monitor, []glance{{0, !away, ran(up, -time.Hour, restarts(4))}, {sec, !away, ran(up, sec, restarts(5))}}, "web/3 restarted by itself", true},
		{"a restart by hand begins it anew", monitor, []glance{{0, !away, ran(up, -time.Hour)}, {5 * sec, !away, ran(up, 4*sec)}, {10 * sec, !away, ran(up, 4*sec)}}, "", false},
		{"a failure on its last moment is a failure", monitor, []glance{{0, !away, ran(up, 0)}, {10 * sec, !away, ran(exited, 0, code(1, 10*sec))}}, "web/3 exited with code 1 after 10s", true},
		// Outages.
		{"a container that lived through an outage goes on", ready(5 * sec), []glance{{sec, !away, ran(up, 0)}, {2 * sec, away, reconcile.Container{}}, {5 * sec, !away, ran(up, 0)}}, "running for 5s", false},
		{"an engine's own restart of it is no crash", monitor, []glance{{0, !away, ran(up, 0)}, {2 * sec, away, reconcile.Container{}}, {5 * sec, !away, ran(up, 4*sec, restarts(1))}, {14 * sec, !away, ran(up, 4*sec, restarts(1))}}, "", false},
		{"after which it is watched anew", monitor, []glance{{0, !away, ran(up, 0)}, {2 * sec, away, reconcile.Container{}}, {5 * sec, !away, ran(up, 4*sec)}, {15 * sec, !away, ran(up, 4*sec)}}, "passed", false},
		{"an outage that is over excuses nothing later", ready(9 * sec), []glance{{sec, !away, ran(up, 0)}, {2 * sec, away, reconcile.Container{}}, {5 * sec, !away, ran(up, 0)}, {6 * sec, !away, ran(exited, 0, code(2, 6*sec))}}, "web/3 exited with code 2 after 6s", true},
		{"one that the returning engine is about to restart is given time", ready(5 * sec), []glance{{0, !away, ran(up, 0)}, {sec, away, reconcile.Container{}}, {2 * sec, !away, ran(again, 0)}}, "", false},
		{"the time of an outage is not counted", ready(0), []glance{{0, !away, ran(up, 0, starting)}, {sec, away, reconcile.Container{}}, {20 * sec, !away, ran(up, 0, starting)}, {130 * sec, !away, ran(up, 0, starting)}}, "", false},
		{"but all of the rest is", ready(0), []glance{{0, !away, ran(up, 0, starting)}, {sec, away, reconcile.Container{}}, {20 * sec, !away, ran(up, 0, starting)}, {140 * sec, !away, ran(up, 0, starting)}}, "web/3 did not become healthy within 2m: its health is starting", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			task := task{step: gated(of(reconcile.StepGate, "web", 3), c.gate)}
			got, err := verdictOf(newWatch(task, zero), c.looks)
			var f *fault
			if isFault := errors.As(err, &f); isFault != c.fault {
				t.Fatalf("error is %v", err)
			}
			if err != nil {
				got = err.Error()
			}
			equal(t, "verdict", got, c.want)
		})
	}
}

func TestAnEndWhileTheEngineWasAwayBlamesNobody(t *testing.T) {
	for _, g := range []reconcile.Gate{
		{StableFor: 5 * sec},
		{StableFor: 5 * sec, MayComplete: true},
		{Kind: reconcile.GateCompleted},
		{Kind: reconcile.GateMonitor, StableFor: 5 * sec},
	} {
		for _, exit := range []int{0, 2, 137} {
			w := newWatch(task{step: gated(of(reconcile.StepGate, "web", 3), g)}, zero)
			_, err := verdictOf(w, []glance{
				{sec, !away, ran(reconcile.Running, 0)},
				{2 * sec, away, reconcile.Container{}},
				{4 * sec, !away, ran(reconcile.Exited, 0, code(exit, 3*sec))},
			})
			var f *fault
			if !errors.Is(err, reconcile.ErrEngineUnavailable) || errors.As(err, &f) {
				t.Errorf("gate %v, code %d: error is %v", g.Kind, exit, err)
			}
		}
	}
}

func TestAContainerIsNoOlderThanItsStart(t *testing.T) {
	// The engine's clock is ten minutes behind the agent's.
	task := task{step: gated(of(reconcile.StepGate, "web", 3), reconcile.Gate{StableFor: 5 * sec, Timeout: time.Minute}), started: zero}
	looks := []glance{{sec, !away, ran(reconcile.Running, -10*time.Minute)}}
	if got, err := verdictOf(newWatch(task, zero), looks); got != "" || err != nil {
		t.Errorf("verdict is %q, error %v", got, err)
	}
	looks[0].c.Health = reconcile.HealthStarting
	if got, err := verdictOf(newWatch(task, zero), looks); got != "" || err != nil {
		t.Errorf("verdict is %q, error %v", got, err)
	}
}

func TestAKillForMemoryRightAfterOurStartIsSeenAtTheFirstLook(t *testing.T) {
	task := task{step: gated(of(reconcile.StepGate, "web", 3), reconcile.Gate{StableFor: 5 * sec}), started: zero}
	_, err := verdictOf(newWatch(task, zero), []glance{{50 * ms, !away, ran(reconcile.Running, 0, oom)}})
	if err == nil {
		t.Error("no failure")
	}
}

func TestSpansReadWell(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 42 * ms: "0s", 400 * ms: "0.4s", 1340 * ms: "1.3s", 5 * sec: "5s", 59 * sec: "59s",
		time.Minute: "1m", 90 * sec: "1m30s", 10 * time.Minute: "10m", time.Hour: "1h", time.Hour + 5*time.Minute: "1h5m", time.Hour + sec: "1h0m1s",
	} {
		equal(t, "span of "+d.String(), span(d), want)
	}
}
