package rollout_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
	"davit/rollout/probe"
)

// watched is a vigil over one container of a twin engine.
type watched struct {
	*host
	vigil *rollout.Vigil
	mu    sync.Mutex
	news  int
}

// vigilant runs f beside a vigil that looks at the container as the probes say.
func vigilant(t *testing.T, probes compose.Probes, f func(w *watched)) {
	t.Helper()
	vigilantOver(t, enginetest.Behaviour{}, probes, f)
}

// vigilantOver is vigilant over a container that behaves so.
func vigilantOver(t *testing.T, b enginetest.Behaviour, probes compose.Probes, f func(w *watched)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &watched{host: newHostOf(t, b, enginetest.Behaviour{})}
		defer w.settle()
		executor := rollout.New(rollout.Options{Engine: w.engine, Prober: w.engine, Journal: memoryless{}})
		w.vigil = rollout.NewVigil(executor, func(stack string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.news++; stack != "shop" {
				t.Errorf("news of stack %q", stack)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.vigil.Run(ctx) })
		synctest.Wait()
		w.attend(t, probes)
		f(w)
		cancel()
		running.Wait()
	})
}

// attend shows the vigil how the container is, and returns what it knows of it.
func (w *watched) attend(t *testing.T, probes compose.Probes) reconcile.Probed {
	t.Helper()
	c, err := w.engine.Inspect(t.Context(), w.old)
	must(t, err)
	return w.vigil.Attend(time.Now(), []reconcile.Attended{{Container: c, Probes: probes, Networks: []string{"shop_default"}}})[w.old]
}

func every(interval time.Duration, port uint16) *compose.Probe {
	return &compose.Probe{TCP: port, Interval: interval, Timeout: time.Second, Success: 1, Failure: 3}
}

func TestAVigilTellsReadinessFromLife(t *testing.T) {
	probes := compose.Probes{Readiness: every(time.Second, 1), Liveness: every(2*time.Second, 2)}
	vigilant(t, probes, func(w *watched) {
		for _, step := range []struct {
			what string
			act  func()
			wait time.Duration
			want reconcile.Probed
		}{
			{"it is well", func() {}, time.Second, reconcile.Probed{}},
			{"not ready", func() { w.engine.Silence(w.old, 1, true) }, 4 * time.Second, reconcile.Probed{Unready: "readiness failed 3 times: connection refused"}},
			{"ready again", func() { w.engine.Silence(w.old, 1, false) }, 2 * time.Second, reconcile.Probed{}},
			{"not dead yet", func() { w.engine.Silence(w.old, 2, true) }, 3 * time.Second, reconcile.Probed{}},
			{"dead", func() {}, 4 * time.Second, reconcile.Probed{Doomed: "liveness failed 3 times: connection refused"}},
			{"alive after all", func() { w.engine.Silence(w.old, 2, false) }, 3 * time.Second, reconcile.Probed{}},
		} {
			step.act()
			time.Sleep(step.wait)
			synctest.Wait()
			if got := w.attend(t, probes); got != step.want {
				t.Errorf("%s: got %+v, want %+v", step.what, got, step.want)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.news != 5 { // the first answer, and each change since
			t.Errorf("%d news", w.news)
		}
	})
}

func TestAVigilBeginsAnewWithAContainer(t *testing.T) {
	probes := compose.Probes{Startup: every(time.Second, 1), Readiness: every(time.Second, 2), Liveness: every(time.Second, 3)}
	vigilant(t, probes, func(w *watched) {
		time.Sleep(5 * time.Second)
		w.engine.Silence(w.old, 3, true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := w.attend(t, probes); got.Doomed == "" {
			t.Fatalf("it is alive: %+v", got)
		}
		must(t, w.engine.Stop(t.Context(), w.old))
		must(t, w.engine.Start(t.Context(), w.old))
		w.engine.Silence(w.old, 1, true)
		if got := w.attend(t, probes); got != (reconcile.Probed{Pending: true}) {
			t.Errorf("right after its start: %+v", got)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want := "startup failed 3 times: connection refused"
		if got := w.attend(t, probes); got != (reconcile.Probed{Unready: want, Doomed: want}) {
			t.Errorf("when it does not come up: %+v", got)
		}
	})
}

// An agent that is started anew finds what has served for weeks, and which may hang for a
// moment.
func TestAVigilAsksNobodyWhoServesWhetherItHasStarted(t *testing.T) {
	probes := compose.Probes{Startup: every(time.Second, 1), Readiness: every(time.Second, 2), Liveness: every(5*time.Second, 3)}
	vigilant(t, compose.Probes{}, func(w *watched) {
		time.Sleep(time.Minute)
		for port := range uint16(3) {
			w.engine.Silence(w.old, port+1, true)
		}
		w.attend(t, probes)
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := w.attend(t, probes); got != (reconcile.Probed{Unready: "readiness failed 3 times: connection refused"}) {
			t.Errorf("during a hiccup: %+v", got)
		}
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if got := w.attend(t, probes); got.Doomed != "liveness failed 3 times: connection refused" {
			t.Errorf("after it: %+v", got)
		}
	})
}

func TestWhatStoppedIsNotSaidToHaveFailed(t *testing.T) {
	probes := compose.Probes{Readiness: every(time.Second, 1), Liveness: every(time.Second, 2)}
	vigilant(t, probes, func(w *watched) {
		time.Sleep(5 * time.Second)
		must(t, w.engine.Stop(t.Context(), w.old)) // and nobody has told the vigil
		time.Sleep(time.Minute)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.news != 1 {
			t.Errorf("%d news, want only that it was ready", w.news)
		}
	})
}

func TestASnapshotThatIsOlderEndsNoVigil(t *testing.T) {
	probes := compose.Probes{Liveness: every(time.Second, 1)}
	vigilant(t, probes, func(w *watched) {
		w.engine.Silence(w.old, 1, true)
		w.vigil.Attend(time.Now().Add(-time.Second), nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := w.attend(t, probes); got.Doomed == "" {
			t.Errorf("got %+v", got)
		}
		w.vigil.Attend(time.Now(), nil)
		if got := w.attend(t, probes); got.Doomed != "" {
			t.Errorf("what was out of sight is still %+v", got)
		}
	})
}

func TestWithoutAnybodyWhoLooksNothingIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watched{host: newHost(t, enginetest.Behaviour{})}
		defer w.settle()
		w.vigil = rollout.NewVigil(w.executor, func(string) { t.Error("news") })
		if got := w.attend(t, compose.Probes{Readiness: every(time.Second, 1)}); got != (reconcile.Probed{}) {
			t.Errorf("got %+v", got)
		}
	})
}

// Twice as many containers as there may be looks at once, none of which answers, get
// their turns all the same.
func TestAVigilOverManyLeavesNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watched{host: newHost(t, enginetest.Behaviour{})}
		defer w.settle()
		looks := &tally{of: map[string]int{}}
		executor := rollout.New(rollout.Options{Engine: w.engine, Prober: looks, Journal: memoryless{}})
		w.vigil = rollout.NewVigil(executor, func(string) {})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { w.vigil.Run(ctx) })
		synctest.Wait()
		w.vigil.Attend(time.Now(), crowd(200))
		time.Sleep(time.Minute)
		cancel()
		running.Wait()
		if len(looks.of) != 200 || looks.most > 64 {
			t.Errorf("%d of 200 were looked at, %d at once", len(looks.of), looks.most)
		}
		for at, n := range looks.of {
			if n < 5 || n > 8 {
				t.Errorf("%s was looked at %d times in a minute", at, n)
			}
		}
	})
}

// tally is a prober that counts, and of whom each look lasts as long as it may.
type tally struct {
	mu        sync.Mutex
	of        map[string]int
	now, most int
}

func (c *tally) Look(ctx context.Context, p *compose.Probe, at netip.Addr) (probe.Answer, error) {
	c.mu.Lock()
	c.of[at.String()]++
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	select {
	case <-time.After(p.Timeout):
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	return probe.Answer{Output: "no answer"}, ctx.Err()
}

// crowd are containers that are asked every ten seconds whether they live.
func crowd(n int) []reconcile.Attended {
	var all []reconcile.Attended
	for i := range n {
		ends := map[string]reconcile.Endpoint{"net": {IP: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)}}
		c := reconcile.Container{ID: fmt.Sprint(i), Stack: "shop", State: reconcile.Running, Started: time.Now(), Endpoints: ends}
		all = append(all, reconcile.Attended{Container: c, Probes: compose.Probes{Liveness: every(10*time.Second, 1)}, Networks: []string{"net"}})
	}
	return all
}

func TestAVigilExaminesWhatTheEngineHasNotLookedAtSinceItsStart(t *testing.T) {
	for name, c := range map[string]struct {
		behaviour enginetest.Behaviour
		want      reconcile.Health
		news      int
	}{
		"one that is well soon": {enginetest.Behaviour{Healthcheck: true, CheckedEvery: time.Hour, HealthyAfter: 5 * time.Second}, reconcile.Healthy, 1},
		"one that is not":       {enginetest.Behaviour{Healthcheck: true, Sick: true}, reconcile.HealthStarting, 0},
		"one without a check":   {enginetest.Behaviour{}, reconcile.HealthNone, 0},
	} {
		t.Run(name, func(t *testing.T) {
			vigilantOver(t, c.behaviour, compose.Probes{}, func(w *watched) {
				time.Sleep(30 * time.Second)
				synctest.Wait()
				seen, err := w.engine.Inspect(t.Context(), w.old)
				must(t, err)
				if seen.Health != c.want || w.news != c.news {
					t.Errorf("%s with %d news, want %s with %d", seen.Health, w.news, c.want, c.news)
				}
			})
		})
	}
}
