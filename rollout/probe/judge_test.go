package probe

import (
	"testing"
	"testing/synctest"
	"time"

	"davit/compose"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// zero is when the containers of these tests start.
var zero = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// every is a TCP probe with Kubernetes' defaults, edited.
func every(interval time.Duration, edit ...func(*compose.Probe)) *compose.Probe {
	p := &compose.Probe{TCP: 8080, Interval: interval, Timeout: sec, Success: 1, Failure: 3}
	for _, e := range edit {
		e(p)
	}
	return p
}

func successes(n int) func(*compose.Probe) { return func(p *compose.Probe) { p.Success = n } }
func failures(n int) func(*compose.Probe)  { return func(p *compose.Probe) { p.Failure = n } }

// glance is one look, at a time after the start.
type glance struct {
	at time.Duration
	ok bool
}

func TestAVerdictTakesThatManyLooksInARow(t *testing.T) {
	const good, bad = true, false
	for _, c := range []struct {
		name  string
		probe *compose.Probe
		looks []glance
		want  Verdict
		due   time.Duration
	}{
		{"nothing is known before the first look", every(10 * sec), nil, Pending, 0},
		{"a delay is waited for", every(10*sec, func(p *compose.Probe) { p.InitialDelay = 7 * sec }), nil, Pending, 7 * sec},
		{"one success passes", every(10 * sec), []glance{{0, good}}, Passing, 10 * sec},
		{"one failure says nothing", every(10 * sec), []glance{{0, bad}}, Pending, 62500 * time.Microsecond},
		{"two say nothing either", every(10 * sec), []glance{{0, bad}, {10 * sec, bad}}, Pending, 10*sec + 78125*time.Microsecond},
		{"three fail", every(10 * sec), []glance{{0, bad}, {10 * sec, bad}, {20 * sec, bad}}, Failing, 20*sec + 97656250},
		{"early failures do not count", every(10 * sec), []glance{{0, bad}, {1 * sec, bad}, {2 * sec, bad}, {9 * sec, bad}, {10 * sec, bad}, {11 * sec, bad}}, Pending, 11*sec + 190734862},
		{"an early success does", every(10 * sec), []glance{{0, bad}, {75 * ms, good}}, Passing, 10*sec + 75*ms},
		{"failures have to follow one another", every(10 * sec), []glance{{0, good}, {10 * sec, bad}, {20 * sec, bad}, {30 * sec, good}, {40 * sec, bad}, {50 * sec, bad}}, Passing, 60 * sec},
		{"three that do make what passed fail", every(10 * sec), []glance{{0, good}, {10 * sec, bad}, {20 * sec, bad}, {30 * sec, bad}}, Failing, 40 * sec},
		{"one success mends it", every(10 * sec), []glance{{0, good}, {10 * sec, bad}, {20 * sec, bad}, {30 * sec, bad}, {40 * sec, good}}, Passing, 50 * sec},
		{"what has answered once is looked at at its interval", every(10 * sec), []glance{{0, good}, {10 * sec, bad}}, Passing, 20 * sec},
		{"two successes that are asked for are waited for", every(10*sec, successes(2)), []glance{{0, good}}, Pending, 10 * sec},
		{"and pass", every(10*sec, successes(2)), []glance{{0, good}, {10 * sec, good}}, Passing, 20 * sec},
		{"and have to follow one another", every(10*sec, successes(2)), []glance{{0, good}, {10 * sec, bad}, {20 * sec, good}}, Pending, 30 * sec},
		{"one failure is enough where that is said", every(10*sec, failures(1)), []glance{{0, bad}}, Failing, 62500 * time.Microsecond},
		{"a short interval is kept", every(100 * ms), []glance{{0, bad}, {75 * ms, bad}}, Pending, 100 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			course := begun(c.probe, zero)
			for _, g := range c.looks {
				course.take(zero.Add(g.at), Answer{OK: g.ok})
			}
			if course.verdict != c.want || course.due() != zero.Add(c.due) {
				t.Errorf("%s, due after %v; want %s, due after %v", course.verdict, course.due().Sub(zero), c.want, c.due)
			}
		})
	}
}

func TestWhatGoesOnInTheContainerIsNotBegunAgainEarly(t *testing.T) {
	c := begun(every(10*sec), zero)
	c.take(zero, Answer{Lingers: true})
	if c.due() != zero.Add(10*sec) {
		t.Errorf("due after %v", c.due().Sub(zero))
	}
	c.take(zero.Add(10*sec), Answer{})
	if c.due() != zero.Add(10*sec+78125*time.Microsecond) {
		t.Errorf("due after %v", c.due().Sub(zero))
	}
}

func TestALookThatCouldNotBeMadeSaysNothing(t *testing.T) {
	c := begun(every(10*sec, failures(1)), zero)
	for i := range 5 {
		c.pass(zero.Add(time.Duration(i) * sec))
	}
	if c.verdict != Pending || !c.due().After(zero.Add(4*sec)) {
		t.Errorf("%s, due after %v", c.verdict, c.due().Sub(zero))
	}
}

func TestStartupSuspendsReadiness(t *testing.T) {
	j := NewJudge(compose.Probes{Startup: every(10 * sec), Readiness: every(2 * sec)})
	if _, _, ok := j.Next(); ok || j.Ready() {
		t.Error("there is something to look at before the start")
	}
	j.Begin(zero)
	j.Take(Readiness, zero, Answer{OK: true})
	if k, at, ok := j.Next(); !ok || k != Startup || at != zero || j.Ready() {
		t.Errorf("next is %s at %v, %t; ready %t", k, at, ok, j.Ready())
	}
	j.Take(Startup, zero.Add(9*sec), Answer{OK: true})
	if k, at, ok := j.Next(); !ok || k != Readiness || at != zero || j.Ready() {
		t.Errorf("after startup next is %s at %v, %t; ready %t", k, at, ok, j.Ready())
	}
	// A late failure of the one before is no longer of interest.
	j.Take(Startup, zero.Add(10*sec), Answer{Output: "late"})
	j.Take(Readiness, zero.Add(10*sec), Answer{OK: true})
	if k, v, _ := j.Verdict(); !j.Ready() || k != Readiness || v != Passing {
		t.Errorf("ready %t, %s is %s", j.Ready(), k, v)
	}
}

func TestLivenessHasACourseOfItsOwn(t *testing.T) {
	j := NewJudge(compose.Probes{Startup: every(10 * sec), Readiness: every(4 * sec), Liveness: every(3 * sec)})
	j.Begin(zero)
	j.Take(Liveness, zero, Answer{}) // its turn has not come
	j.Take(Startup, zero, Answer{OK: true})
	j.Take(Readiness, zero, Answer{OK: true})
	for i := range 3 {
		at := zero.Add(time.Duration(i) * 3 * sec)
		if k, due, ok := j.Next(); !ok || k != Liveness && i != 2 || i == 0 && due != zero || i == 1 && due != at {
			t.Errorf("look %d: next is %s after %v", i, k, due.Sub(zero))
		}
		if _, _, doomed := j.Doomed(); doomed || !j.Ready() {
			t.Errorf("doomed %t, ready %t after %d failures", doomed, j.Ready(), i)
		}
		j.Take(Liveness, at, Answer{Output: "hangs"})
	}
	if k, output, doomed := j.Doomed(); !doomed || k != Liveness || output != "hangs" || !j.Ready() {
		t.Errorf("%s, doomed %t, %q, ready %t", k, doomed, output, j.Ready())
	}
	j.Take(Liveness, zero.Add(9*sec), Answer{OK: true})
	if _, _, doomed := j.Doomed(); doomed {
		t.Error("doomed though it lives")
	}
}

func TestAStartupThatFailsDooms(t *testing.T) {
	j := NewJudge(compose.Probes{Startup: every(10*sec, failures(1)), Liveness: every(3 * sec)})
	j.Begin(zero)
	j.Take(Startup, zero, Answer{Output: "connection refused"})
	if k, output, doomed := j.Doomed(); !doomed || k != Startup || output != "connection refused" {
		t.Errorf("%s, doomed %t, %q", k, doomed, output)
	}
}

func TestAStartupProbeAloneMakesReadyAndIsNotMadeAgain(t *testing.T) {
	j := NewJudge(compose.Probes{Startup: every(10 * sec)})
	j.Begin(zero)
	j.Take(Startup, zero, Answer{OK: true})
	if _, _, more := j.Next(); more || !j.Ready() {
		t.Errorf("more to look at: %t, ready: %t", more, j.Ready())
	}
}

func TestANewStartBeginsEverythingAnew(t *testing.T) {
	j := NewJudge(compose.Probes{Startup: every(10 * sec), Readiness: every(2*sec, failures(1))})
	j.Begin(zero)
	j.Take(Startup, zero, Answer{OK: true})
	j.Take(Readiness, zero, Answer{OK: true})
	j.Begin(zero.Add(time.Minute))
	if k, at, ok := j.Next(); !ok || k != Startup || at != zero.Add(time.Minute) || j.Ready() {
		t.Errorf("next is %s at %v, %t; ready %t", k, at, ok, j.Ready())
	}
}

func TestAVerdictCarriesTheLastOutput(t *testing.T) {
	j := NewJudge(compose.Probes{Readiness: every(10 * sec)})
	j.Begin(zero)
	j.Take(Readiness, zero, Answer{Output: "connection refused"})
	j.Take(Readiness, zero.Add(sec), Answer{Output: "answered 503"})
	if _, _, output := j.Verdict(); output != "answered 503" {
		t.Errorf("output is %q", output)
	}
	j.Take(Readiness, zero.Add(2*sec), Answer{OK: true})
	if _, _, output := j.Verdict(); output != "" {
		t.Errorf("output is %q after a success", output)
	}
}

// course of looks at a container that answers from a moment on, as a gate makes them.
func follow(j *Judge, answers func(age time.Duration) bool, until time.Duration) (looks int) {
	start := time.Now()
	j.Begin(start)
	for {
		k, at, ok := j.Next()
		if !ok || at.Sub(start) > until {
			return looks
		}
		time.Sleep(time.Until(at))
		looks++
		j.Take(k, time.Now(), Answer{OK: answers(time.Since(start))})
		if _, v, _ := j.Verdict(); v != Pending {
			return looks
		}
	}
}

func TestReadinessIsNoticedSoonerThanTheIntervalSays(t *testing.T) {
	for _, ready := range []time.Duration{0, 30 * ms, 300 * ms, 4 * sec, 45 * sec} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			looks := follow(NewJudge(compose.Probes{Readiness: every(10*sec, failures(1000))}), func(age time.Duration) bool { return age >= ready }, time.Hour)
			if late := time.Since(begin) - ready; late < 0 || late > max(ready/4, 63*ms) && late > eagerMax {
				t.Errorf("ready after %v, noticed %v later", ready, late)
			}
			if looks > 15+2*int(ready/sec) {
				t.Errorf("%d looks in %v", looks, ready)
			}
		})
	}
}

func TestFailuresCountOncePerIntervalHoweverOftenItIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, begin := NewJudge(compose.Probes{Startup: every(10 * sec)}), time.Now()
		follow(j, func(time.Duration) bool { return false }, time.Hour)
		if _, v, _ := j.Verdict(); v != Failing || time.Since(begin) != 20*sec {
			t.Errorf("%s after %v", v, time.Since(begin))
		}
	})
}
