package traffic

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync/atomic"
	"time"
)

// abandon is how long a request that is cut off may take to end well.
const abandon = time.Second

// errCutOff is why the request to a replica was cancelled whose drain is over.
var errCutOff = errors.New("the drain of the replica is over")

// attempt is a call in the hands of one replica.
type attempt struct {
	*call
	lease  *lease
	trunk  *trunk
	ctx    context.Context
	cancel context.CancelCauseFunc
	upload *h2upload
	grpc   bool
	// doubted is true when whose the replica's address was became uncertain meanwhile.
	doubted bool
	// sent is true once anything of the request may have been written.
	sent atomic.Bool
	// answered is true once an answer has begun.
	answered atomic.Bool
	outcome  outcome
	// taking is how the client takes the answer, patience for how long it may leave what
	// it is given.
	taking   h2taking
	patience time.Duration

	// lasts tells the overseer that this is a stream, done that the attempt is over;
	// overseen is closed when nobody looks at the lease any more.
	lasts, done, overseen chan struct{}
	hints                 *hints
}

func newAttempt(c *call, l *lease) *attempt {
	a := &attempt{
		call: c, lease: l, grpc: isGRPC(c.r.Header),
		lasts: make(chan struct{}, 1), done: make(chan struct{}), overseen: make(chan struct{}),
		hints: newHints(c.w), patience: cmp.Or(c.port.Idle, DefaultIdle),
	}
	a.ctx, a.cancel = context.WithCancelCause(c.r.Context())
	if c.r.ContentLength != 0 {
		a.upload = &h2upload{from: c.r.Body}
	}
	a.trunk = c.conn.acquire(l)
	return a
}

// run asks the replica and relays its answer. It reports whether another one may be
// asked instead.
func (a *attempt) run() (again bool) {
	go a.oversee()
	defer a.end()
	trace := httptrace.ClientTrace{
		WroteHeaders:   func() { a.sent.Store(true) },
		Got1xxResponse: func(status int, h textproto.MIMEHeader) error { return a.hints.take(hint{status, h}) },
	}
	req := a.request(a.lease.address.String(), a.upload).WithContext(httptrace.WithClientTrace(a.ctx, &trace))
	res, err := a.trunk.roundTrip(req, a.sent.Load)
	a.hints.settle()
	if err != nil {
		return a.failed(err)
	}
	defer res.Body.Close()
	a.relay(res)
	return false
}

// end gives back what the attempt has, once nobody else looks at it.
func (a *attempt) end() {
	close(a.done)
	<-a.overseen
	a.cancel(nil)
	a.lease.end(a.outcome, a.conn.front.now())
	a.conn.release(a.trunk)
}

// failed judges a request without an answer.
func (a *attempt) failed(err error) (again bool) {
	untouched := a.upload.untouched()
	switch {
	case a.r.Context().Err() != nil:
		a.outcome.unused = !a.asked()
		a.outcome.abandoned = !a.outcome.unused
		panic(http.ErrAbortHandler) // there is nobody to be answered
	case a.isCutOff():
		a.outcome.status = cutOff.status()
		a.refuse(cutOff)
		return false
	case errors.Is(err, errDoubted):
		a.outcome.unused, a.doubted = true, true
		a.why, again = unreachable, untouched
	case ours(err):
		a.outcome.unused = true
		a.refuse(unreachable)
		return false
	case errors.Is(err, errUndialled):
		a.outcome.undialled = true
		a.why, again = unreachable, untouched
	case !a.sent.Load():
		a.outcome.unused = true
		a.why, again = broken, untouched
	default:
		a.outcome.broken = true
		a.why, again = broken, untouched && !a.repeated && repeatable(a.r)
		a.repeated = true
	}
	a.conn.front.log.DebugContext(a.ctx, "request not answered", "replica", a.lease.replica.name, "address", a.lease.address, "error", err)
	if !again {
		a.refuse(a.why)
	}
	return again
}

// asked reports whether the replica has the whole request.
func (a *attempt) asked() bool { return a.sent.Load() && a.upload.complete() }

func (a *attempt) isCutOff() bool { return errors.Is(context.Cause(a.ctx), errCutOff) }

// age judges an attempt that takes long.
func (a *attempt) age(stream func(), now time.Time) {
	if a.answered.Load() {
		a.lease.replica.speaks(now)
	}
	switch {
	case a.grpc || a.answered.Load():
		stream()
	case a.asked():
		a.lease.waits(now)
	}
}

// oversee cuts the attempt off when its replica's drain says so, and makes its lease
// that of a stream when it lasts. A gRPC call may be one that waits for events and has
// nothing to answer yet: it counts as a stream just because it lasts.
func (a *attempt) oversee() {
	defer close(a.overseen)
	age := time.NewTicker(lasting)
	defer age.Stop()
	cut := a.lease.cut()
	var abandoned <-chan time.Time
	stream := func() {
		if a.lease.stream(); cut != nil {
			cut = a.lease.cut()
		}
	}
	for {
		select {
		case <-a.done:
			return
		case <-a.lasts:
			stream()
			a.lease.replica.speaks(time.Now())
		case now := <-age.C:
			a.age(stream, now)
			if a.taking.stuck(now, a.patience) {
				a.giveUp()
			}
		case <-a.hints.come:
			a.hints.send()
		case <-cut:
			a.cancel(errCutOff)
			a.upload.Close() // net/http may wait for more of it and not look at its context
			cut, abandoned = nil, time.After(abandon)
		case <-abandoned:
			a.giveUp() // it is stuck in a client that takes nothing
		}
	}
}

// giveUp has the client get no more of the answer.
func (a *attempt) giveUp() { _ = http.NewResponseController(a.w).SetWriteDeadline(time.Unix(1, 0)) }
