package traffic

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// passedAt is when c is closed, looked at every second for an hour; -1 for never.
func passedAt(c <-chan struct{}, began time.Time) time.Duration {
	select {
	case <-c:
		return time.Since(began)
	case <-time.After(time.Hour):
		return -1
	}
}

func TestWhatADrainingReplicaHasLeftIsCutByTheLimits(t *testing.T) {
	for name, c := range map[string]struct {
		drain            Drain // Since is counted from the beginning of the test
		since            time.Duration
		requests, stream time.Duration
	}{
		"requests first, then streams":    {Drain{Timeout: 30 * time.Second, Streams: 5 * time.Minute}, 0, 30 * time.Second, 5 * time.Minute},
		"since it began elsewhere":        {Drain{Timeout: 30 * time.Second, Streams: 5 * time.Minute}, -20 * time.Second, 10 * time.Second, 280 * time.Second},
		"long ago":                        {Drain{Timeout: 30 * time.Second, Streams: 5 * time.Minute}, -time.Hour, 0, 0},
		"at once":                         {Drain{}, 0, 0, 0},
		"streams never before requests":   {Drain{Timeout: time.Minute, Streams: time.Second}, 0, time.Minute, time.Minute},
		"by a clock that was set back":    {Drain{Timeout: 30 * time.Second, Streams: time.Minute}, 24 * time.Hour, 30 * time.Second, time.Minute},
		"requests that are not waited on": {Drain{Streams: time.Minute}, 0, 0, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, replicas := choiceOf(Port{}, 1)
				request, _, _ := p.try(want{kind: leaseRequest})
				stream, _, _ := p.try(want{kind: leaseRequest})
				stream.stream()
				began := time.Now()
				c.drain.Since = began.Add(c.since)
				replicas[0].drain(c.drain, began)
				if got := passedAt(request.draining, began); got != 0 {
					t.Errorf("told to drain after %s", got)
				}
				if got := passedAt(request.cut(), began); got != c.requests {
					t.Errorf("requests are cut after %s, not %s", got, c.requests)
				}
				if got := passedAt(stream.cut(), began); got != c.stream {
					t.Errorf("streams are cut after %s, not %s", got, c.stream)
				}
			})
		})
	}
}

func TestAReplicaThatIsReopenedIsNotCutByItsFormerDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, replicas := choiceOf(Port{}, 1)
		r, began := replicas[0], time.Now()
		for range 3 {
			r.drain(Drain{Since: time.Now(), Timeout: time.Second, Streams: time.Second}, time.Now())
			r.reopen()
		}
		l, _, _ := p.try(want{kind: leaseStream})
		if got := passedAt(l.cut(), began); got >= 0 {
			t.Errorf("cut after %s", got)
		}
		began = time.Now()
		r.drain(Drain{Since: began, Timeout: time.Hour, Streams: time.Hour}, began)
		time.Sleep(time.Minute)
		r.drain(Drain{Since: began, Timeout: time.Second, Streams: 2 * time.Minute}, time.Now()) // the operator has no more patience
		if got := passedAt(l.cutRequests, began); got != time.Minute {
			t.Errorf("requests are cut after %s", got)
		}
		if got := passedAt(l.cut(), began); got != 2*time.Minute {
			t.Errorf("streams are cut after %s", got)
		}
	})
}

func TestALimitThatPassesWhileAReplicaIsReopenedCutsNothing(t *testing.T) {
	p, replicas := choiceOf(Port{}, 1)
	r := replicas[0]
	// The timers have fired, and what they call comes late.
	r.drain(Drain{Since: time.Now(), Timeout: time.Hour, Streams: time.Hour}, time.Now())
	former := r.drains
	r.reopen()
	l, _, _ := p.try(want{})
	r.cut(former, true)
	select {
	case <-l.cut():
		t.Error("a lease of the reopened replica was cut")
	default:
	}
}

func TestARequestThatBecomesAStreamIsNeverCountedAsNothing(t *testing.T) {
	p, replicas := choiceOf(Port{}, 1)
	r := replicas[0]
	// moment is odd while there is a lease.
	var moment atomic.Int64
	over := make(chan struct{})
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			before := moment.Load()
			requests, streams := r.underway()
			if before%2 == 1 && requests+streams == 0 && moment.Load() == before {
				t.Error("it was counted as nothing")
				return
			}
		}
	})
	for range 100_000 {
		l, _, _ := p.try(want{})
		moment.Add(1)
		l.stream()
		moment.Add(1)
		l.end(outcome{}, time.Now())
	}
	close(over)
	reader.Wait()
}

func TestALeaseIsCountedOnceHoweverItIsEnded(t *testing.T) {
	p, replicas := choiceOf(Port{}, 1)
	count := func(requests, streams int64) {
		t.Helper()
		if r, s := replicas[0].underway(); r != requests || s != streams {
			t.Errorf("%d requests and %d streams, not %d and %d", r, s, requests, streams)
		}
	}
	l, _, _ := p.try(want{})
	count(1, 0)
	l.stream()
	l.stream() // it is one
	count(0, 1)
	l.end(outcome{}, time.Now())
	l.end(outcome{}, time.Now()) // by mistake
	l.stream()                   // too late
	count(0, 0)
}

func TestNothingBeginsWhereItMayNot(t *testing.T) {
	_, replicas := choiceOf(Port{}, 1)
	r := replicas[0]
	begins := func() bool {
		began := r.begin(&r.requests)
		if began {
			r.requests.Add(-1)
		}
		if requests, _ := r.underway(); requests != 0 {
			t.Errorf("%d requests are left over", requests)
		}
		return began
	}
	if !begins() {
		t.Error("it does not begin where it may")
	}
	// Both may come about between the choice and the beginning.
	r.shut()
	if begins() {
		t.Error("it begins while the replica drains")
	}
	r.reopen()
	r.confirmed.Store(false)
	if begins() {
		t.Error("it begins at an address that is not known to be the replica's")
	}
}
