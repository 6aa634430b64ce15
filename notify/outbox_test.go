package notify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"davit/reconcile"
)

// memory is an outbox that forgets nothing, so that tests can look at it.
type memory struct {
	mu      sync.Mutex
	list    []reconcile.Delivery
	settled map[string]string // id -> "delivered" or the reason for giving up
	reasons []string
	looks   int
	broken  error // what every method answers, if set
	// lost makes Delivered fail once, as a crash before it would.
	lost bool
}

func (m *memory) Enqueue(_ context.Context, d reconcile.Delivery) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.list = append(m.list, d)
	return m.broken
}

func (m *memory) Due(_ context.Context, target string, now time.Time, limit int) ([]reconcile.Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	var due []reconcile.Delivery
	for _, d := range m.list {
		if _, done := m.settled[d.ID]; !done && d.Target == target && !d.Due.After(now) && len(due) < limit {
			due = append(due, d)
		}
	}
	return due, m.broken
}

func (m *memory) Delivered(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lost {
		m.lost = false
		return errors.New("the agent died here")
	}
	m.settle(id, "delivered")
	return m.broken
}

func (m *memory) Failed(_ context.Context, id string, next time.Time, reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reasons = append(m.reasons, reason)
	if next.IsZero() {
		m.settle(id, reason)
	}
	i := slices.IndexFunc(m.list, func(d reconcile.Delivery) bool { return d.ID == id })
	m.list[i].Attempts++
	m.list[i].Due = next
	return m.broken
}

func (m *memory) settle(id, how string) {
	if m.settled == nil {
		m.settled = map[string]string{}
	}
	m.settled[id] = how
}

// verdicts is how each delivery ended, in the order of the line; "" for open.
func (m *memory) verdicts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for _, d := range m.list {
		list = append(list, m.settled[d.ID])
	}
	return list
}

// handled is a network that has one host: the handler. It works in a bubble of
// testing/synctest, where real sockets do not.
type handled struct{ http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	done := make(chan *http.Response, 1)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		done <- w.Result()
	}()
	select {
	case answer := <-done:
		return answer, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func newNotifier(t *testing.T, o Options) *Notifier {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// running runs n until the returned function is called, which waits for its end.
func running(t *testing.T, n *Notifier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func failure(stack string) reconcile.Event {
	return reconcile.Event{ID: 812, At: time.Date(2026, 11, 21, 17, 55, 3, 0, time.UTC), Stack: stack,
		Kind: reconcile.EventReleaseFailed, Severity: reconcile.SeverityError,
		Message: "web/3 exited with code 2", Seq: 41, Version: "v1.3.0", Commit: "9d10e44"}
}
