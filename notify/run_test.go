package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"davit/reconcile"
)

const there = "https://ops.example/hook/token-1234"

func TestAReceiverThatIsDownIsTriedForADayWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Time
		var ids []string
		outbox := &memory{}
		n := newNotifier(t, Options{Outbox: outbox, Endpoints: []Endpoint{{URL: there}},
			Transport: handled{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				attempts = append(attempts, time.Now())
				ids = append(ids, r.Header.Get("X-Davit-Delivery"))
				w.WriteHeader(http.StatusBadGateway)
			})}})
		stop := running(t, n)
		n.Notify(t.Context(), failure("shop"))
		time.Sleep(25 * time.Hour)
		stop()

		for i := 1; i < len(attempts); i++ {
			pause := attempts[i].Sub(attempts[i-1])
			ceiling := slowest
			if i <= 7 {
				ceiling = firstRetry << (i - 1)
			}
			if pause < soonest || pause > max(soonest, min(ceiling, slowest)) {
				t.Errorf("pause %d is %v, above %v", i, pause, ceiling)
			}
		}
		// On average half of a quarter of an hour, for a day.
		if len(attempts) < 96 || len(attempts) > 600 {
			t.Errorf("%d attempts in a day", len(attempts))
		}
		if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
			t.Error("the attempts have different ids")
		}
		if got := outbox.verdicts(); len(got) != 1 || !strings.HasPrefix(got[0], "too old: answered 502") {
			t.Errorf("it ended with %q", got)
		}
	})
}

func TestAReceiverThatRecoversGetsTheDeliveryOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		outbox := &memory{}
		n := newNotifier(t, Options{Outbox: outbox, Endpoints: []Endpoint{{URL: there}},
			Transport: handled{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if calls++; calls == 1 {
					w.WriteHeader(http.StatusInternalServerError)
				}
			})}})
		stop := running(t, n)
		n.Notify(t.Context(), failure("shop"))
		time.Sleep(time.Hour)
		stop()
		if calls != 2 || !slices.Equal(outbox.verdicts(), []string{"delivered"}) {
			t.Errorf("%d calls, ended with %q", calls, outbox.verdicts())
		}
	})
}

func TestRetryAfterIsTheLeastPause(t *testing.T) {
	for name, value := range map[string]string{"seconds": "600", "a date": "Sat, 01 Jan 2000 00:10:00 GMT"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // begins at 2000-01-01 00:00:00 UTC
				var attempts []time.Time
				n := newNotifier(t, Options{Outbox: &memory{}, Endpoints: []Endpoint{{URL: there}},
					Transport: handled{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						if attempts = append(attempts, time.Now()); len(attempts) == 1 {
							w.Header().Set("Retry-After", value)
							w.WriteHeader(http.StatusTooManyRequests)
						}
					})}})
				stop := running(t, n)
				n.Notify(t.Context(), failure("shop"))
				time.Sleep(time.Hour)
				stop()
				if len(attempts) != 2 || attempts[1].Sub(attempts[0]) != 10*time.Minute {
					t.Errorf("attempts at %v", attempts)
				}
			})
		})
	}
}

func TestOneReceiverThatHangsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quick []time.Duration
		begin := time.Now()
		outbox := &memory{}
		n := newNotifier(t, Options{Outbox: outbox,
			Endpoints: []Endpoint{{URL: "http://slow.example"}, {URL: "http://quick.example"}},
			Transport: handled{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if r.URL.Host == "slow.example" {
					<-r.Context().Done()
					return
				}
				quick = append(quick, time.Since(begin))
			})}})
		stop := running(t, n)
		for i := range 5 {
			n.Notify(t.Context(), failure(fmt.Sprint("stack", i)))
		}
		time.Sleep(time.Minute)
		stop()
		if len(quick) != 5 || slices.Max(quick) != 0 {
			t.Errorf("the quick one was called after %v", quick)
		}
		if !strings.Contains(fmt.Sprint(outbox.reasons), "deadline exceeded") && !strings.Contains(fmt.Sprint(outbox.reasons), "Timeout") {
			t.Errorf("the slow one failed with %q", outbox.reasons)
		}
	})
}

func TestACrashBeforeTheRecordMeansTheSameDeliveryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		network := handled{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			ids = append(ids, r.Header.Get("X-Davit-Delivery"))
		})}
		outbox := &memory{lost: true}
		options := Options{Outbox: outbox, Endpoints: []Endpoint{{URL: there}}, Transport: network}
		first := newNotifier(t, options)
		first.Notify(t.Context(), failure("shop"))
		w := &worker{notifier: first, receiver: first.receivers[0]}
		if err := w.sendAll(t.Context(), outbox.list); err == nil {
			t.Fatal("the record was not lost")
		}

		second := newNotifier(t, options)
		stop := running(t, second)
		time.Sleep(time.Second)
		stop()
		if len(ids) != 2 || ids[0] != ids[1] || ids[0] == "" {
			t.Errorf("the receiver saw %q", ids)
		}
		if !slices.Equal(outbox.verdicts(), []string{"delivered"}) {
			t.Errorf("it ended with %q", outbox.verdicts())
		}
	})
}

func TestTheEndIsBoundedAndCutsNothingShortThatIsQuick(t *testing.T) {
	for name, c := range map[string]struct {
		takes   time.Duration
		lasts   time.Duration
		verdict string
	}{
		"an answer within the drain time is recorded": {takes: 3 * time.Second, lasts: 2 * time.Second, verdict: "delivered"},
		"a hanging one is left for the next start":    {takes: time.Hour, lasts: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outbox := &memory{}
				n := newNotifier(t, Options{Outbox: outbox, Endpoints: []Endpoint{{URL: there}}, Timeout: time.Hour,
					Transport: handled{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						select {
						case <-time.After(c.takes):
						case <-r.Context().Done():
						}
					})}})
				stop := running(t, n)
				n.Notify(t.Context(), failure("shop"))
				time.Sleep(time.Second)
				begin := time.Now()
				stop()
				if lasted := time.Since(begin); lasted != c.lasts {
					t.Errorf("the end lasted %v", lasted)
				}
				if got := outbox.verdicts(); got[0] != c.verdict || len(outbox.reasons) != 0 {
					t.Errorf("it ended with %q, failures %q", got, outbox.reasons)
				}
			})
		})
	}
}

func TestWhatIsEnqueuedAtTheVeryEndIsStillSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox := &memory{}
		n := newNotifier(t, Options{Outbox: outbox, Endpoints: []Endpoint{{URL: there}},
			Transport: handled{http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		n.Notify(ctx, failure("shop"))
		if err := n.Run(ctx); err != nil || !slices.Equal(outbox.verdicts(), []string{"delivered"}) {
			t.Errorf("it ended with %q, %v", outbox.verdicts(), err)
		}
	})
}

func TestABrokenOutboxDelaysAndNeverSpins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		outbox := &memory{broken: errors.New("disk full")}
		n := newNotifier(t, Options{Outbox: outbox, Endpoints: []Endpoint{{URL: there}},
			Logger: slog.New(slog.NewTextHandler(&log, nil)), Transport: handled{http.NotFoundHandler()}})
		stop := running(t, n)
		n.Notify(t.Context(), failure("shop"))
		time.Sleep(10 * time.Minute)
		stop()
		if outbox.looks > 25 {
			t.Errorf("it looked %d times in ten minutes", outbox.looks)
		}
		if text := log.String(); !strings.Contains(text, "notification was lost") || !strings.Contains(text, "disk full") {
			t.Errorf("the log says %s", text)
		}
	})
}

// stuck is an outbox whose disk does not answer.
type stuck struct{ Outbox }

func (stuck) Enqueue(ctx context.Context, _ reconcile.Delivery) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestARolloutNeverWaitsLongForAStuckOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNotifier(t, Options{Outbox: stuck{}, Endpoints: []Endpoint{{URL: there}}})
		begin := time.Now()
		n.Notify(t.Context(), failure("shop"))
		if waited := time.Since(begin); waited > enqueueTimeout {
			t.Errorf("it waited %v", waited)
		}
	})
}

func TestDeliveriesOfAnEarlierProcessAreFoundWhenTheirTimeComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outbox := &memory{}
		var calls atomic.Int32
		n := newNotifier(t, Options{Outbox: outbox, Endpoints: []Endpoint{{URL: there}},
			Transport: handled{http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) })}})
		d := n.Deliveries(failure("shop"))[0]
		soon := n.Deliveries(failure("blog"))[0]
		d.Due, soon.Due = time.Now().Add(7*time.Minute), time.Now().Add(3*time.Second)
		if err := errors.Join(outbox.Enqueue(t.Context(), d), outbox.Enqueue(t.Context(), soon)); err != nil {
			t.Fatal(err)
		}
		stop := running(t, n)
		defer stop()
		time.Sleep(4 * time.Second)
		if calls.Load() != 1 {
			t.Errorf("%d were sent, want the one that is due soon", calls.Load())
		}
		time.Sleep(7*time.Minute - 5*time.Second)
		if calls.Load() != 1 {
			t.Error("the other was sent too early")
		}
		time.Sleep(lookEvery + time.Second)
		if calls.Load() != 2 {
			t.Error("the other was not found")
		}
	})
}
