package traffic

import (
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
	for range 2000 {
		l, _, _ := p.try(want{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.stream()
		}()
		for range 20 {
			if requests, streams := r.underway(); requests+streams == 0 {
				t.Fatal("it was counted as nothing")
			}
		}
		<-done
		l.stream() // it is one
		if requests, streams := r.underway(); requests != 0 || streams != 1 {
			t.Fatalf("%d requests, %d streams", requests, streams)
		}
		l.end(outcome{}, time.Now())
		l.end(outcome{}, time.Now()) // by mistake
		l.stream()                   // too late
		if requests, streams := r.underway(); requests != 0 || streams != 0 {
			t.Fatalf("%d requests, %d streams after the end", requests, streams)
		}
	}
}
