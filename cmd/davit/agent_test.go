package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"davit/reconcile"
	"davit/web"
)

// fakeAgent is an agent that tells a story: every look at its status goes one
// chapter on, until the last.
type fakeAgent struct {
	mu       sync.Mutex
	chapters [][]reconcile.StackStatus
	plans    []reconcile.Plan
	// adoptions are what there is to adopt.
	adoptions []reconcile.AdoptionPlan
	releases  []reconcile.Release
	events    []reconcile.Event
	source    web.SourceStatus
	edge      *reconcile.EdgeStatus
	orders    []any
	err       error
	// obeyed is called by orders, under the lock.
	obeyed func()
	bell   *web.Bell
}

func (a *fakeAgent) Status(context.Context) ([]reconcile.StackStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.chapters) == 0 {
		return nil, nil
	}
	now := a.chapters[0]
	if len(a.chapters) > 1 {
		a.chapters = a.chapters[1:]
	}
	return now, nil
}

func (a *fakeAgent) EdgeStatus() *reconcile.EdgeStatus { return a.edge }

func (a *fakeAgent) Plan(_ context.Context, r reconcile.PlanRequest) ([]reconcile.Plan, error) {
	if r.Values {
		return []reconcile.Plan{{Stack: "shop", Notes: []string{"with values"}}}, a.err
	}
	return a.plans, a.err
}
func (a *fakeAgent) States() []web.SourceStatus         { return []web.SourceStatus{a.source} }
func (a *fakeAgent) Poll(context.Context, string) error { return nil }

func (a *fakeAgent) order(o any) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.orders = append(a.orders, o)
	if a.obeyed != nil {
		a.obeyed()
	}
	return a.err
}

type told struct{ verb, stack, actor string }

func (a *fakeAgent) Wake(stack string, why reconcile.Trigger) {
	_ = a.order(told{"wake", stack, why.String()})
}
func (a *fakeAgent) Rollback(_ context.Context, r reconcile.RollbackRequest) (reconcile.Release, error) {
	return reconcile.Release{Stack: r.Stack}, a.order(r)
}
func (a *fakeAgent) Drill(_ context.Context, r reconcile.DrillRequest) (reconcile.Release, error) {
	return reconcile.Release{Stack: r.Stack}, a.order(r)
}
func (a *fakeAgent) Adopt(_ context.Context, r reconcile.AdoptRequest) error     { return a.order(r) }
func (a *fakeAgent) Stop(_ context.Context, r reconcile.ServiceRequest) error    { return a.order(r) }
func (a *fakeAgent) Start(_ context.Context, r reconcile.ServiceRequest) error   { return a.order(r) }
func (a *fakeAgent) Restart(_ context.Context, r reconcile.ServiceRequest) error { return a.order(r) }
func (a *fakeAgent) Adoptions(context.Context, string) ([]reconcile.AdoptionPlan, error) {
	return a.adoptions, a.err
}
func (a *fakeAgent) Suspend(_ context.Context, r reconcile.SuspendRequest) error { return a.order(r) }
func (a *fakeAgent) Unpin(_ context.Context, stack, actor string) error {
	return a.order(told{"unpin", stack, actor})
}
func (a *fakeAgent) Promote(_ context.Context, stack, actor string) error {
	return a.order(told{"promote", stack, actor})
}

func (a *fakeAgent) Abort(_ context.Context, stack, actor string) error {
	return a.order(told{"abort", stack, actor})
}

func (a *fakeAgent) Retry(_ context.Context, stack, actor string) error {
	return a.order(told{"retry", stack, actor})
}
func (a *fakeAgent) Resume(_ context.Context, stack, actor string) error {
	return a.order(told{"resume", stack, actor})
}
func (a *fakeAgent) Remove(_ context.Context, stack, actor string) error {
	return a.order(told{"remove", stack, actor})
}

func (a *fakeAgent) PassWindows(_ context.Context, stack, actor string) error {
	return a.order(told{"pass windows", stack, actor})
}

func (a *fakeAgent) Releases(_ context.Context, _ string, limit int) ([]reconcile.Release, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if limit > 0 && len(a.releases) > limit {
		return a.releases[:limit], nil
	}
	return a.releases, nil
}

func (a *fakeAgent) Events(_ context.Context, stack string, after int64, limit int) ([]reconcile.Event, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []reconcile.Event
	for _, e := range a.events {
		if e.ID > after && (stack == "" || stack == e.Stack) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (a *fakeAgent) LastEvents(ctx context.Context, stack string, limit int) ([]reconcile.Event, error) {
	all, err := a.Events(ctx, stack, 0, len(a.events))
	return all[max(0, len(all)-limit):], err
}

var then = time.Date(2026, 11, 21, 4, 58, 0, 0, time.UTC)

// stands is a stack that stands so.
func stands(sync reconcile.Sync, health reconcile.Condition) reconcile.StackStatus {
	return reconcile.StackStatus{Name: "shop", Version: "v1.3.0", Revision: "main@sha1:9d10e44abcde", Sync: sync, Health: health, Since: then}
}

// story is one chapter per way of standing, all healthy.
func story(syncs ...reconcile.Sync) (chapters [][]reconcile.StackStatus) {
	for _, s := range syncs {
		chapters = append(chapters, []reconcile.StackStatus{stands(s, reconcile.ConditionHealthy)})
	}
	return chapters
}

// answer is what a command printed and how it ended.
type answer struct {
	out, err string
	code     int
}

// ask runs a command against a.
func ask(t *testing.T, a *fakeAgent, args ...string) answer {
	t.Helper()
	return askAs(t, a, func(*console) {}, args...)
}

// askAs is ask with a console of one's own.
func askAs(t *testing.T, a *fakeAgent, change func(*console), args ...string) answer {
	t.Helper()
	data := t.TempDir()
	if a != nil {
		serve(t, a, data)
	}
	c, out, err := world(map[string]string{"DAVIT_DATA": data})
	change(c)
	code := run(t.Context(), c, args...)
	return answer{out: out.String(), err: err.String(), code: code}
}

func serve(t *testing.T, a *fakeAgent, data string) {
	t.Helper()
	a.bell = web.NewBell()
	l, err := web.Listen(t.Context(), filepath.Join(data, web.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	server := web.New(web.Options{Agent: a, History: a, Events: a, Bell: a.bell, Sources: a, Logger: slog.New(slog.DiscardHandler), Version: "v0.1.0"})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}
