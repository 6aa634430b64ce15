package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"davit/reconcile"
)

// Limits of one request.
const (
	maxBody     = 64 << 10
	bodyTimeout = 10 * time.Second
	readTimeout = 30 * time.Second
	// actTimeout bounds an order; polling a slow remote is the longest of them.
	actTimeout = 10 * time.Minute
	// writeTimeout is how long a reader may leave one answer, or one batch of
	// events, unread.
	writeTimeout = 30 * time.Second
	grace        = 5 * time.Second
)

// Agent is what the API shows and steers: the loop.
type Agent interface {
	Status(ctx context.Context) ([]reconcile.StackStatus, error)
	// EdgeStatus is nil where there is no edge.
	EdgeStatus() *reconcile.EdgeStatus
	Plan(ctx context.Context, r reconcile.PlanRequest) ([]reconcile.Plan, error)
	Adopter
	Wake(stack string, why reconcile.Trigger)
	Operator
}

// Operator carries out what a person decides.
type Operator interface {
	Pinner
	Pauser
	Servicer
	Promoter
	Driller
	Retry(ctx context.Context, stack, actor string) error
	// PassWindows lets what is declared in though its windows are shut; stack "" means
	// all of them.
	PassWindows(ctx context.Context, stack, actor string) error
	Remove(ctx context.Context, stack, actor string) error
}

// Servicer stops, starts and restarts what runs.
type Servicer interface {
	Stop(ctx context.Context, r reconcile.ServiceRequest) error
	Start(ctx context.Context, r reconcile.ServiceRequest) error
	Restart(ctx context.Context, r reconcile.ServiceRequest) error
}

// Promoter decides about canaries.
type Promoter interface {
	Promote(ctx context.Context, stack, actor string) error
	Abort(ctx context.Context, stack, actor string) error
}

// Driller rehearses the way back.
type Driller interface {
	Drill(ctx context.Context, r reconcile.DrillRequest) (reconcile.Release, error)
}

// Adopter takes over what somebody else runs.
type Adopter interface {
	Adoptions(ctx context.Context, stack string) ([]reconcile.AdoptionPlan, error)
	Adopt(ctx context.Context, r reconcile.AdoptRequest) error
}

// Pinner returns a stack to an earlier release and lets it go again.
type Pinner interface {
	Rollback(ctx context.Context, r reconcile.RollbackRequest) (reconcile.Release, error)
	Unpin(ctx context.Context, stack, actor string) error
}

// Pauser stops every action on a stack for a while.
type Pauser interface {
	Suspend(ctx context.Context, r reconcile.SuspendRequest) error
	Resume(ctx context.Context, stack, actor string) error
}

// History reads releases, newest first; limit 0 means all.
type History interface {
	Releases(ctx context.Context, stack string, limit int) ([]reconcile.Release, error)
}

// EventLog reads what happened.
type EventLog interface {
	// Events returns the events of a stack ("" for all) whose ID is above after,
	// oldest first, at most limit.
	Events(ctx context.Context, stack string, after int64, limit int) ([]reconcile.Event, error)
	// LastEvents returns the newest events, oldest first, at most limit.
	LastEvents(ctx context.Context, stack string, limit int) ([]reconcile.Event, error)
}

// Sources are where revisions come from.
type Sources interface {
	// States describes every source; there is at least one.
	States() []SourceStatus
	// Poll lists the source of that name now, all of them for "", and returns once
	// the results are declared.
	Poll(ctx context.Context, name string) error
}

// Options are the parts of a Server; all are required.
type Options struct {
	Agent    Agent
	History  History
	Events   EventLog
	Bell     *Bell
	Sources  Sources
	Logger   *slog.Logger
	Version  string
	Instance string
}

// Server answers the API.
type Server struct {
	Options
}

// New returns a server; Serve starts it.
func New(o Options) *Server { return &Server{Options: o} }

// Serve answers on l until ctx ends, lets what is under way finish within a few
// seconds, and closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	// Followers of the event stream end as soon as ctx does; everything else is
	// given the grace period.
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	server := &http.Server{
		Handler:           s.Handler(ctx),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return following },
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(following, grace)
	defer cancel()
	err := server.Shutdown(late)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-failed
	return err
}

// Handler is the API. Streams end when ctx does.
func (s *Server) Handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /v1/status", answer(readTimeout, s.status))
	mux.Handle("GET /v1/source", answer(readTimeout, s.source))
	mux.Handle("GET /v1/plan", answer(2*time.Minute, s.plan))
	mux.Handle("GET /v1/adoption", answer(2*time.Minute, s.adoption))
	mux.Handle("GET /v1/history/{stack}", answer(readTimeout, s.history))
	mux.Handle("GET /v1/config/{stack}", answer(readTimeout, s.config))
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) { s.events(ctx, w, r) })
	mux.Handle("POST /v1/poll", answer(actTimeout, s.poll))
	mux.Handle("POST /v1/apply", answer(actTimeout, s.applyAll))
	mux.Handle("POST /v1/stacks/{stack}/{verb}", answer(actTimeout, s.order))
	return s.guard(mux)
}

// guard reads the whole body before a handler runs, capped and within a deadline,
// and gives unknown paths the same error form as everything else. The deadline
// must not outlast the body: net/http would take it for a reader that left and
// cut long answers short.
func (s *Server) guard(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern == "" {
			refuse(w, unrouted(mux, r))
			return
		}
		c := http.NewResponseController(w)
		_ = c.SetReadDeadline(time.Now().Add(bodyTimeout))
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			refuse(w, unread(err))
			return
		}
		_ = c.SetReadDeadline(time.Time{})
		r.Body = io.NopCloser(bytes.NewReader(body))
		mux.ServeHTTP(w, r)
	})
}

// unread is the answer to a body that could not be read whole.
func unread(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return &Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("read the order: more than %d bytes", large.Limit)}
	}
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("read the order: %v", err)}
}

// unrouted says why no handler takes r: its path, or only its method.
func unrouted(mux *http.ServeMux, r *http.Request) error {
	other := r.Clone(r.Context())
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other.Method = method
		if _, pattern := mux.Handler(other); pattern != "" {
			return &Error{Status: http.StatusMethodNotAllowed,
				Message: fmt.Sprintf("%s %s: use %s", r.Method, r.URL.Path, method)}
		}
	}
	return &Error{Status: http.StatusNotFound, Message: fmt.Sprintf("%s %s: no such path", r.Method, r.URL.Path)}
}
