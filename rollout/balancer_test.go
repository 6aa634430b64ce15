package rollout_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"davit/compose"
	"davit/engine/enginetest"
	"davit/reconcile"
	"davit/rollout"
)

// front is an edge whose ports a load balancer serves, which may be away or refuse.
type front struct {
	mu    sync.Mutex
	table reconcile.EdgeTable
	err   *reconcile.BalancerError
}

var frontBalancer = reconcile.Balancer{Name: "front", Kind: "haproxy"}

func (f *front) fail(err *reconcile.BalancerError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *front) Look(context.Context) (reconcile.EdgeTable, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, b := f.table, frontBalancer
	if f.err != nil && f.err.Away {
		b.Away = f.err.Error()
	}
	t.Balancers = []reconcile.Balancer{b}
	return t, nil
}

func (f *front) Apply(_ context.Context, t reconcile.EdgeTable) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.table = t
	return nil
}

func atFront(t *testing.T, f func(t *testing.T, h edged, front *front, step reconcile.Step, said *[]string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &front{}
		h := edged{host: newHost(t, enginetest.Behaviour{Healthcheck: true})}
		h.desk = reconcile.NewSwitchboard(b)
		h.settle()
		h.executor = rollout.New(rollout.Options{Engine: h.engine, Edge: h.desk, Journal: memoryless{}})
		h.listen(t)
		port := compose.PublishedPort{Network: "tcp", Target: 8080, PortSettings: compose.PortSettings{Via: compose.ViaBalancer, Balancer: "front"}}
		step := reconcile.Step{Kind: reconcile.StepShift, Reason: "to 1 at haproxy front",
			Shift: reconcile.Shift{Ports: []compose.PublishedPort{port}, To: []reconcile.Replica{h.oldReplica()}}}
		var said []string
		f(t, h, b, step, &said)
	})
}

// shift carries out the shift, within the progress timeout given.
func (h edged) shift(ctx context.Context, step reconcile.Step, progress time.Duration, said *[]string) reconcile.Result {
	job := h.job(step)
	job.Plan.ProgressTimeout = progress
	job.Report = func(e reconcile.Event) {
		if e.Kind == reconcile.EventWaiting {
			*said = append(*said, e.Message)
		}
	}
	return h.executor.Execute(ctx, job)
}

func away() *reconcile.BalancerError {
	return &reconcile.BalancerError{Balancer: frontBalancer, Away: true, Err: errors.New("no such file")}
}

func TestAShiftWaitsForALoadBalancerThatIsAway(t *testing.T) {
	atFront(t, func(t *testing.T, h edged, b *front, step reconcile.Step, said *[]string) {
		b.fail(away())
		back := time.AfterFunc(3*time.Second, func() { b.fail(nil) })
		defer back.Stop()
		r := h.shift(t.Context(), step, time.Minute, said)
		if r.Err != nil || r.Failure != nil || len(b.table.Routes) != 1 {
			t.Errorf("result %+v, table %+v", r, b.table)
		}
		if len(*said) != 1 || !strings.HasSuffix((*said)[0], "waiting: haproxy front: no such file") {
			t.Errorf("it said %q", *said)
		}
	})
}

func TestALoadBalancerThatStaysAwayEndsTheReleaseWhenItMayNotGoWithoutProgressAnyLonger(t *testing.T) {
	atFront(t, func(t *testing.T, h edged, b *front, step reconcile.Step, said *[]string) {
		b.fail(away())
		begun := time.Now()
		r := h.shift(t.Context(), step, time.Minute, said)
		want := "web could not be handed over within 1m: haproxy front: no such file"
		if r.Failure == nil || r.Failure.Reason != want {
			t.Errorf("failure %+v (%v), want %s", r.Failure, r.Err, want)
		}
		if took := time.Since(begun); took < time.Minute || took > 62*time.Second {
			t.Errorf("after %s", took)
		}
	})
}

func TestWhatALoadBalancerRefusesIsTheContentsFault(t *testing.T) {
	atFront(t, func(t *testing.T, h edged, b *front, step reconcile.Step, said *[]string) {
		b.fail(&reconcile.BalancerError{Balancer: frontBalancer, Err: errors.New("[emerg] no")})
		r := h.shift(t.Context(), step, time.Minute, said)
		if r.Failure == nil || r.Failure.Reason != "web could not be handed over: haproxy front: [emerg] no" {
			t.Errorf("failure %+v (%v)", r.Failure, r.Err)
		}
	})
}

func TestAWaitForALoadBalancerIsGivenUpWithTheExecution(t *testing.T) {
	atFront(t, func(t *testing.T, h edged, b *front, step reconcile.Step, said *[]string) {
		b.fail(away())
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		r := h.shift(ctx, step, time.Hour, said)
		if r.Failure != nil || r.Err == nil || time.Since(begun) > 6*time.Second {
			t.Errorf("result %+v after %s", r, time.Since(begun))
		}
	})
}
