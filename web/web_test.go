package web_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"davit/reconcile"
	"davit/web"
)

// agent is an agent in memory: it shows what it is given and notes what it is
// told.
type agent struct {
	mu     sync.Mutex
	stacks []reconcile.StackStatus
	plans  []reconcile.Plan
	// adoptions are what there is to adopt.
	adoptions []reconcile.AdoptionPlan
	releases  map[string][]reconcile.Release
	events    []reconcile.Event
	sources   []web.SourceStatus
	polls     []string
	pollErr   error
	err       error // what the next order gets
	orders    []any
	bell      *web.Bell
	edge      *reconcile.EdgeStatus
}

var at = time.Date(2026, 11, 21, 4, 58, 0, 0, time.UTC)

func newAgent() *agent {
	return &agent{
		bell:     web.NewBell(),
		stacks:   []reconcile.StackStatus{{Name: "shop", Version: "v1.3.0", Sync: reconcile.SyncSynced, Health: reconcile.ConditionHealthy, Since: at}},
		releases: map[string][]reconcile.Release{},
		sources:  []web.SourceStatus{{Source: "https://git.example/ops"}},
	}
}

func (a *agent) Status(context.Context) ([]reconcile.StackStatus, error) { return a.stacks, nil }
func (a *agent) EdgeStatus() *reconcile.EdgeStatus                       { return a.edge }
func (a *agent) Plan(context.Context, reconcile.PlanRequest) ([]reconcile.Plan, error) {
	return a.plans, a.err
}
func (a *agent) States() []web.SourceStatus { return a.sources }

func (a *agent) Poll(_ context.Context, name string) error {
	a.polls = append(a.polls, name)
	return a.pollErr
}

type woken struct {
	Stack string
	Why   reconcile.Trigger
}

type told struct{ Verb, Stack, Actor string }

func (a *agent) Wake(stack string, why reconcile.Trigger) {
	a.orders = append(a.orders, woken{stack, why})
}

func (a *agent) Rollback(_ context.Context, r reconcile.RollbackRequest) (reconcile.Release, error) {
	a.orders = append(a.orders, r)
	return reconcile.Release{Stack: r.Stack, Seq: 7, Kind: reconcile.KindManualRollback}, a.err
}
func (a *agent) Drill(_ context.Context, r reconcile.DrillRequest) (reconcile.Release, error) {
	a.orders = append(a.orders, r)
	return reconcile.Release{Stack: r.Stack, Seq: 7, Kind: reconcile.KindManualRollback}, a.err
}

func (a *agent) Suspend(_ context.Context, r reconcile.SuspendRequest) error {
	a.orders = append(a.orders, r)
	return a.err
}

func (a *agent) Adopt(_ context.Context, r reconcile.AdoptRequest) error {
	a.orders = append(a.orders, r)
	return a.err
}

func (a *agent) Stop(_ context.Context, r reconcile.ServiceRequest) error {
	return a.tell("stop "+r.Service, r.Stack, r.Actor)
}

func (a *agent) Start(_ context.Context, r reconcile.ServiceRequest) error {
	return a.tell("start "+r.Service, r.Stack, r.Actor)
}

func (a *agent) Restart(_ context.Context, r reconcile.ServiceRequest) error {
	return a.tell("restart "+r.Service, r.Stack, r.Actor)
}

func (a *agent) Adoptions(context.Context, string) ([]reconcile.AdoptionPlan, error) {
	return a.adoptions, a.err
}

func (a *agent) tell(verb, stack, actor string) error {
	a.orders = append(a.orders, told{verb, stack, actor})
	return a.err
}

func (a *agent) Unpin(_ context.Context, s, who string) error { return a.tell("unpin", s, who) }
func (a *agent) Promote(_ context.Context, s, who string) error {
	return a.tell("promote", s, who)
}
func (a *agent) Abort(_ context.Context, s, who string) error  { return a.tell("abort", s, who) }
func (a *agent) Retry(_ context.Context, s, who string) error  { return a.tell("retry", s, who) }
func (a *agent) Resume(_ context.Context, s, who string) error { return a.tell("resume", s, who) }
func (a *agent) Remove(_ context.Context, s, who string) error { return a.tell("remove", s, who) }
func (a *agent) PassWindows(_ context.Context, s, who string) error {
	return a.tell("pass windows", s, who)
}

func (a *agent) Releases(_ context.Context, stack string, limit int) ([]reconcile.Release, error) {
	r := a.releases[stack]
	if limit > 0 && len(r) > limit {
		r = r[:limit]
	}
	return r, nil
}

func (a *agent) Events(_ context.Context, stack string, after int64, limit int) ([]reconcile.Event, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []reconcile.Event
	for _, e := range a.events {
		if e.ID > after && (stack == "" || e.Stack == stack) && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (a *agent) LastEvents(ctx context.Context, stack string, limit int) ([]reconcile.Event, error) {
	all, err := a.Events(ctx, stack, 0, 1<<30)
	return all[max(0, len(all)-limit):], err
}

// happen appends n events about stack and rings the bell.
func (a *agent) happen(stack string, n int) {
	a.mu.Lock()
	for range n {
		a.events = append(a.events, reconcile.Event{ID: int64(len(a.events) + 1), At: at, Stack: stack,
			Kind: reconcile.EventStepDone, Severity: reconcile.SeverityInfo, Message: "step done"})
	}
	a.mu.Unlock()
	a.bell.Ring()
}

// serve runs a server for a and returns the path of its socket. The server has
// ended when the test has.
func serve(t *testing.T, a *agent) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), web.SocketName)
	l, err := web.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	run(t, a, l)
	return path
}

// run serves a on l until the test ends.
func run(t *testing.T, a *agent, l net.Listener) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s := web.New(web.Options{Agent: a, History: a, Events: a, Bell: a.bell, Sources: a,
		Logger: slog.New(slog.DiscardHandler), Version: "v0.1.0", Instance: "here"})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func client(t *testing.T, path string) *web.Client {
	c := web.NewClient(path)
	t.Cleanup(c.Close)
	return c
}

func TestSocketIsForItsOwnerOnlyAndGoesAwayWithTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), web.SocketName)
	l, err := web.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, newAgent(), l)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v; want 0600", info.Mode(), err)
	}
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	rest, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(rest) > 0 {
		t.Errorf("left behind: %v, error %v", rest, err)
	}
}

func TestStaleSocketIsReplacedAndLiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), web.SocketName)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := web.Listen(t.Context(), path)
	if err != nil {
		t.Fatalf("stale socket: %v", err)
	}
	run(t, newAgent(), l)
	if _, err := web.Listen(t.Context(), path); err == nil || reconcile.Hint(err) == "" {
		t.Errorf("live socket: error %v, want one with a hint", err)
	}
	if _, err := client(t, path).Health(t.Context()); err != nil {
		t.Errorf("the first agent no longer answers: %v", err)
	}
}

func TestSocketInADeepDirectoryWorks(t *testing.T) {
	dir := t.TempDir()
	for len(dir) < 200 {
		dir = filepath.Join(dir, "a-long-directory-name")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, web.SocketName)
	l, err := web.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	run(t, newAgent(), l)
	if _, err := client(t, path).Health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClientSaysThatNoAgentRuns(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "such", web.SocketName)
	if _, err := client(t, missing).Status(t.Context()); !errors.Is(err, web.ErrNoAgent) {
		t.Errorf("error %v, want ErrNoAgent", err)
	}
}
