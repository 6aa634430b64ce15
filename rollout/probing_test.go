package rollout

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/rollout/probe"
)

// doorman is a prober whose answers a test has written down.
type doorman struct {
	mu sync.Mutex
	// answer is by the time since the first look.
	answer func(age time.Duration) probe.Answer
	// takes is how long a look lasts, hangs is for ever.
	takes time.Duration
	first time.Time
	asked []netip.Addr
}

const hangs = time.Duration(1<<63 - 1)

func (d *doorman) Look(ctx context.Context, _ *compose.Probe, at netip.Addr) (probe.Answer, error) {
	d.mu.Lock()
	if d.first.IsZero() {
		d.first = time.Now()
	}
	d.asked = append(d.asked, at)
	d.mu.Unlock()
	timer := time.NewTimer(d.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
		return d.answer(time.Since(d.first)), nil
	case <-ctx.Done():
		return probe.Answer{}, ctx.Err()
	}
}

func opensAfter(ready time.Duration) func(time.Duration) probe.Answer {
	return func(age time.Duration) probe.Answer {
		return probe.Answer{OK: age >= ready, Output: "connection refused"}
	}
}

// at is a container with an address.
func at(ip string, l life) life {
	return func(age time.Duration) reconcile.Container {
		c := l(age)
		c.Endpoints = map[string]reconcile.Endpoint{"shop_default": {IP: ip}}
		return c
	}
}

func tcpProbe(interval time.Duration) *compose.Probe {
	return &compose.Probe{TCP: 8080, Interval: interval, Timeout: sec, Success: 1, Failure: 3}
}

// readiness is a gate with a readiness probe.
func readiness(p *compose.Probe) reconcile.Gate {
	return reconcile.Gate{Probes: compose.Probes{Readiness: p}, Networks: []string{"shop_default"}, Timeout: 2 * time.Minute}
}

func startup(p *compose.Probe) reconcile.Gate {
	return reconcile.Gate{Probes: compose.Probes{Startup: p}, Networks: []string{"shop_default"}, Timeout: 2 * time.Minute}
}

// probed runs one gate of web/1, which runs at 10.0.0.2 unless the engine says otherwise.
func probed(t *testing.T, s *scripted, d *doorman, g reconcile.Gate) reconcile.Result {
	t.Helper()
	if s.lives["web/1"] == nil {
		s.lives["web/1"] = at("10.0.0.2", running)
	}
	return gate(t, New(Options{Engine: s, Journal: s, Prober: d}), s, g)
}

func reasonOf(r reconcile.Result) string {
	if r.Failure == nil {
		return ""
	}
	return r.Failure.Reason
}

func TestAGatePassesSoonAfterItsProbeAnswers(t *testing.T) {
	for ready, want := range map[time.Duration]string{0: "ready after 0s", 700 * ms: "ready after 0.7s", 45 * sec: "ready after 45s"} {
		synctest.Test(t, func(t *testing.T) {
			s, d := newScripted(), &doorman{answer: opensAfter(ready)}
			begun := time.Now()
			r := probed(t, s, d, readiness(tcpProbe(10*sec)))
			if took := time.Since(begun); r.Err != nil || r.Failure != nil || took < ready || took > ready+sec {
				t.Errorf("ready after %v, passed after %v: %+v", ready, took, r)
			}
			equal(t, "gates", r.Gates, map[string]string{"web": want})
			equal(t, "address", d.asked[0], "10.0.0.2")
			if len(d.asked) > 110 {
				t.Errorf("%d looks", len(d.asked))
			}
		})
	}
}

func TestReadinessHasToLastWithoutInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		// Ready from the 2nd second on, unready from the 5th to the 10th.
		d := &doorman{answer: func(age time.Duration) probe.Answer {
			return probe.Answer{OK: age >= 2*sec && age < 5*sec || age >= 10*sec}
		}}
		g := readiness(tcpProbe(sec))
		g.StableFor = 8 * sec
		begun := time.Now()
		r := probed(t, s, d, g)
		if took := time.Since(begun); r.Failure != nil || took < 18*sec || took > 20*sec {
			t.Errorf("passed after %v: %+v", took, r)
		}
	})
}

func TestOneFailedLookIsNoInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		d := &doorman{answer: func(age time.Duration) probe.Answer { return probe.Answer{OK: age < 3*sec || age >= 4*sec} }}
		g := readiness(tcpProbe(sec))
		g.StableFor = 8 * sec
		begun := time.Now()
		r := probed(t, s, d, g)
		if took := time.Since(begun); r.Failure != nil || took > 9*sec {
			t.Errorf("passed after %v: %+v", took, r)
		}
	})
}

func TestHealthAndProbeBothHaveToSayReady(t *testing.T) {
	for _, c := range []struct{ healthy, answers, want time.Duration }{{30 * sec, 0, 30 * sec}, {0, 30 * sec, 30 * sec}} {
		synctest.Test(t, func(t *testing.T) {
			s := newScripted()
			s.lives["web/1"] = at("10.0.0.2", healthyAfter(c.healthy))
			begun := time.Now()
			r := probed(t, s, &doorman{answer: opensAfter(c.answers)}, readiness(tcpProbe(sec)))
			if took := time.Since(begun); r.Failure != nil || took < c.want || took > c.want+sec {
				t.Errorf("passed after %v: %+v", took, r)
			}
		})
	}
}

func TestAFailedStartupEndsAGateEarlyWithWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := probed(t, newScripted(), &doorman{answer: opensAfter(time.Hour)}, startup(tcpProbe(10*sec)))
		equal(t, "reason", reasonOf(r), "web/1 failed its startup probe tcp :8080 3 times in a row: connection refused")
		if took := time.Since(begun); took < 20*sec || took > 21*sec {
			t.Errorf("after %v", took)
		}
	})
}

func TestAContainerThatNeverAnswersIsLateWithWhatWasSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r := probed(t, newScripted(), &doorman{answer: opensAfter(time.Hour)}, readiness(tcpProbe(10*sec)))
		equal(t, "reason", reasonOf(r), "web/1 did not become ready within 2m: readiness probe tcp :8080: connection refused")
		equal(t, "after", time.Since(begun), 2*time.Minute)
	})
}

func TestAnExitIsNoticedWhileAProbeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.exitsAfter("web/1", 3*sec, 2)
		s.lives["web/1"] = at("10.0.0.2", s.lives["web/1"])
		begun := time.Now()
		r := probed(t, s, &doorman{takes: hangs}, readiness(tcpProbe(10*sec)))
		equal(t, "reason", reasonOf(r), "web/1 exited with code 2 after 3s")
		if took := time.Since(begun); took > 4*sec {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestAnAnswerOfAnotherStartOrAddressIsNotBelieved(t *testing.T) {
	// While the one look that succeeds is under way the container starts again, or
	// another one gets its address.
	for name, c := range map[string]func(age time.Duration, c *reconcile.Container){
		"start": func(age time.Duration, c *reconcile.Container) {
			if age >= 5*sec {
				c.Started = time.Now().Add(5*sec - age)
			}
		},
		"address": func(age time.Duration, c *reconcile.Container) {
			if age >= 5*sec {
				c.Endpoints = map[string]reconcile.Endpoint{"shop_default": {IP: "10.0.0.9"}}
			}
		},
		"pause": func(age time.Duration, c *reconcile.Container) {
			if age >= 5*sec {
				c.State = reconcile.Paused
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.lives["web/1"] = func(age time.Duration) reconcile.Container {
					out := at("10.0.0.2", running)(age)
					c(age, &out)
					return out
				}
				d := &doorman{takes: 6 * sec, answer: func(age time.Duration) probe.Answer { return probe.Answer{OK: age < 7*sec, Output: "no"} }}
				r := probed(t, s, d, readiness(tcpProbe(10*sec)))
				if !strings.Contains(reasonOf(r), "did not become ready within 2m") {
					t.Errorf("result is %+v", r)
				}
			})
		})
	}
}

func TestAnAnswerWhileTheEngineIsAwayIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		lost := time.AfterFunc(sec, func() { s.set(func() { s.away = true }) })
		back := time.AfterFunc(20*sec, func() {
			s.set(func() { s.away = false; s.lives["web/1"] = at("10.0.0.9", running) })
		})
		defer lost.Stop()
		defer back.Stop()
		d := &doorman{takes: 2 * sec, answer: opensAfter(0)}
		begun := time.Now()
		r := probed(t, s, d, readiness(tcpProbe(10*sec)))
		if took := time.Since(begun); r.Failure != nil || r.Err != nil || took < 22*sec {
			t.Errorf("passed after %v: %+v", took, r)
		}
		equal(t, "last asked", d.asked[len(d.asked)-1], "10.0.0.9")
		equal(t, "looks", len(d.asked), 2)
	})
}

func TestWithoutAnAddressNobodyIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := newScripted(), &doorman{answer: opensAfter(0)}
		s.lives["web/1"] = at("", running)
		r := probed(t, s, d, startup(tcpProbe(10*sec)))
		if !strings.Contains(reasonOf(r), "no address that this host reaches") || len(d.asked) > 0 {
			t.Errorf("%d looks, %+v", len(d.asked), r)
		}
	})
}

func TestWhatHasTheHostsNetworkIsAskedThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &doorman{answer: opensAfter(0)}
		g := readiness(tcpProbe(10 * sec))
		g.Networks = []string{"host"}
		equal(t, "reason", reasonOf(probed(t, newScripted(), d, g)), "")
		equal(t, "asked", d.asked, []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	})
}

func TestACommandIsAProbeToo(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"that succeeds", nil, ""},
		{"that fails", &reconcile.HookFailure{ExitCode: 1, Output: "no\ndatabase"}, "web/1 failed its startup probe exec /app … 3 times in a row: exited with code 1: no database"},
		{"that is not there", errors.New("exec: no such file"), "web/1 failed its startup probe exec /app … 3 times in a row: exec: no such file"},
		{"that the engine could not run", reconcile.ErrEngineUnavailable, "web/1 did not become ready within 2m: startup probe exec /app …: it has not succeeded often enough"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScripted()
				s.fails["hook web/1 probe"] = c.err
				p := tcpProbe(10 * sec)
				p.TCP, p.Exec = 0, []string{"/app", "--password=x"}
				equal(t, "reason", reasonOf(probed(t, s, &doorman{}, startup(p))), c.want)
			})
		})
	}
}

func TestACommandThatHangsIsNotPiledUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.fails["hook web/1 probe"] = &reconcile.HookFailure{TimedOut: sec}
		p := tcpProbe(10 * sec)
		p.TCP, p.Exec = 0, []string{"/app"}
		equal(t, "reason", reasonOf(probed(t, s, &doorman{}, startup(p))), "web/1 failed its startup probe exec /app 3 times in a row: did not end within 1s")
		equal(t, "commands", len(s.did()), 3)
	})
}

func TestAMonitorFailsWhatBecomesUnready(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(time.Duration) probe.Answer
		want   string
	}{
		"ready throughout": {opensAfter(0), ""},
		"one failure":      {func(age time.Duration) probe.Answer { return probe.Answer{OK: age < 2*sec || age > 3*sec} }, ""},
		"three in a row": {func(age time.Duration) probe.Answer { return probe.Answer{OK: age < 2*sec, Output: "answered 500"} },
			"web/1 failed its readiness probe tcp :8080 3 times in a row: answered 500"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := readiness(tcpProbe(sec))
				g.Kind, g.StableFor = reconcile.GateMonitor, 30*sec
				begun := time.Now()
				equal(t, "reason", reasonOf(probed(t, newScripted(), &doorman{answer: c.answer}, g)), c.want)
				if took := time.Since(begun); c.want == "" && took != 30*sec || took > 30*sec {
					t.Errorf("after %v", took)
				}
			})
		})
	}
}

func TestAProbeThatFailsOnABystanderBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := startup(tcpProbe(sec))
		g.Bystander = true
		r := probed(t, newScripted(), &doorman{answer: opensAfter(time.Hour)}, g)
		var waiting *reconcile.Waiting
		if r.Failure != nil || !errors.As(r.Err, &waiting) {
			t.Errorf("failure %+v, error %v", r.Failure, r.Err)
		}
	})
}

func TestAGateThatIsCancelledGivesItsProbeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"] = at("10.0.0.2", running)
		s.born["web/1"] = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*sec)
		defer cancel()
		begun := time.Now()
		r := New(Options{Engine: s, Journal: s, Prober: &doorman{takes: hangs}}).Execute(ctx, job(plan(gated(on(reconcile.StepGate, "web/1"), readiness(tcpProbe(sec))))))
		equal(t, "error", r.Err, context.DeadlineExceeded)
		equal(t, "time", time.Since(begun), 2*sec)
	})
}

// What was not asked for as long as the agent was away is not late.
func TestAnOldContainerIsGivenTheTimeToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScripted()
		s.lives["web/1"] = at("10.0.0.2", running)
		s.born["web/1"] = time.Now().Add(-time.Hour)
		e := New(Options{Engine: s, Journal: s, Prober: &doorman{answer: opensAfter(30 * sec)}})
		begun := time.Now()
		r := e.Execute(t.Context(), job(plan(gated(on(reconcile.StepGate, "web/1"), readiness(tcpProbe(sec))))))
		if took := time.Since(begun); r.Failure != nil || took < 30*sec || took > 31*sec {
			t.Errorf("passed after %v: %+v", took, r)
		}
	})
}
