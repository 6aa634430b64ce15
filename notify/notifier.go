package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"davit/reconcile"
)

const (
	defaultTimeout = 10 * time.Second
	defaultMaxAge  = 24 * time.Hour
	defaultWindow  = 10 * time.Minute
	defaultDrain   = 5 * time.Second
	// enqueueTimeout bounds what a rollout waits for.
	enqueueTimeout = 5 * time.Second
	// lookEvery finds deliveries that an earlier process left for later.
	lookEvery = time.Minute
	// afterTrouble is the pause when the outbox itself fails.
	afterTrouble = 30 * time.Second
	// batch is how many deliveries are taken from the outbox at once.
	batch = 20
)

// Outbox keeps deliveries until they are settled, across restarts.
type Outbox interface {
	// Enqueue puts d in line, unless it repeats the last one; see
	// reconcile.Delivery.
	Enqueue(ctx context.Context, d reconcile.Delivery) error
	// Due returns up to limit deliveries to target whose time has come, oldest
	// first.
	Due(ctx context.Context, target string, now time.Time, limit int) ([]reconcile.Delivery, error)
	Delivered(ctx context.Context, id string) error
	// Failed records a failed attempt and when the next is due; a zero next gives
	// the delivery up.
	Failed(ctx context.Context, id string, next time.Time, reason string) error
}

// Options are the parts of a Notifier. Outbox and Logger are required; a zero
// duration means the default.
type Options struct {
	Endpoints []Endpoint
	Outbox    Outbox
	Logger    *slog.Logger
	Sender    Sender
	// Timeout bounds one attempt, the answer included. Default 10 s.
	Timeout time.Duration
	// MaxAge is how long a delivery is attempted. Default 24 h.
	MaxAge time.Duration
	// Window is how long a repetition of what was told last is kept silent.
	// Default 10 min.
	Window time.Duration
	// Drain bounds what Run still does once it is told to end. Default 5 s.
	Drain time.Duration
	// Transport carries the requests. By default it is net/http's, with the
	// environment's proxy.
	Transport http.RoundTripper
}

// Notifier puts events in line and sends them.
type Notifier struct {
	receivers []*receiver
	outbox    Outbox
	log       *slog.Logger
	sender    Sender
	client    *http.Client
	maxAge    time.Duration
	window    time.Duration
	drain     time.Duration
}

// New checks every endpoint and reports all that is wrong with them. Without
// endpoints the Notifier does nothing.
func New(o Options) (*Notifier, error) {
	if o.Transport == nil {
		// A copy, because closing its connections must close nobody else's.
		o.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	n := &Notifier{
		outbox: o.Outbox,
		log:    o.Logger,
		sender: o.Sender,
		client: &http.Client{
			Transport:     o.Transport,
			Timeout:       cmp.Or(o.Timeout, defaultTimeout),
			CheckRedirect: sameHost,
		},
		maxAge: cmp.Or(o.MaxAge, defaultMaxAge),
		window: cmp.Or(o.Window, defaultWindow),
		drain:  cmp.Or(o.Drain, defaultDrain),
	}
	names := map[string]bool{}
	var mistakes []error
	for i, e := range o.Endpoints {
		if e.Name == "" && e.URL == "" {
			e.Name = fmt.Sprintf("%d", i+1)
		}
		r, err := newReceiver(e)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		if names[r.name] {
			mistakes = append(mistakes, reconcile.WithHint(
				fmt.Errorf("notification endpoint %s: the name is taken", r.name), "give each endpoint a name of its own"))
		}
		names[r.name] = true
		n.receivers = append(n.receivers, r)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return n, nil
}

// Notify puts e in line for whoever wants it. It only writes to the outbox, and
// what goes wrong there is logged: no rollout fails for want of a notification.
func (n *Notifier) Notify(ctx context.Context, e reconcile.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enqueueTimeout)
	defer cancel()
	for _, d := range n.Deliveries(e) {
		if err := n.outbox.Enqueue(ctx, d); err != nil {
			n.log.Error("notification was lost", "endpoint", d.Target, "event", e.Kind, "stack", e.Stack, "error", err)
		}
	}
	n.Wake()
}

// Deliveries is what Notify puts in line, for who prefers to record the event and
// its deliveries in one transaction. Wake is then to be called.
func (n *Notifier) Deliveries(e reconcile.Event) []reconcile.Delivery {
	now := time.Now()
	var list []reconcile.Delivery
	for _, r := range n.receivers {
		if r.wants[string(e.Kind)] {
			list = append(list, reconcile.Delivery{
				ID: strings.ToLower(rand.Text()), Target: r.name, Event: e,
				Key: key(e), Window: n.window, Created: now, Due: now,
			})
		}
	}
	return list
}

// Wake makes Run look into the outbox now.
func (n *Notifier) Wake() {
	for _, r := range n.receivers {
		r.ring()
	}
}

// key says what e tells: all of it but its id and its time.
func key(e reconcile.Event) string {
	parts := []string{string(e.Kind), e.Stack, e.Service, fmt.Sprint(e.Seq), e.Version, e.Commit, e.Message}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// Run sends what is due until ctx ends. It then finishes the attempts under way
// and makes one more for what is due, within the drain time; the rest waits in
// the outbox for the next start. It always returns nil.
func (n *Notifier) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var workers, end sync.WaitGroup
	for _, r := range n.receivers {
		workers.Go(func() { (&worker{notifier: n, receiver: r}).run(ctx, hard) })
	}
	end.Go(func() {
		<-ctx.Done()
		select {
		case <-time.After(n.drain):
			cancel()
		case <-hard.Done():
		}
	})
	workers.Wait()
	<-ctx.Done()
	cancel()
	end.Wait()
	n.client.CloseIdleConnections()
	return nil
}
