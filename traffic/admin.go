package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"davit/reconcile"
	"davit/traffic/socket"
)

const (
	// SocketName is the socket's name in the edge's directory.
	SocketName = "edge.sock"
	// maxTable is the most that is read of a table.
	maxTable = 64 << 20
	// adminPatience bounds one request, and the reading or writing of its body.
	adminPatience = 30 * time.Second
)

// Served is what the admin API shows and steers; an Edge is one.
type Served interface {
	// Apply returns once the table holds for everything new, and is on disk.
	Apply(ctx context.Context, t Table) (Acknowledgement, error)
	// Table is the newest one, the zero one before the first.
	Table() Table
	State() State
	Signals() SignalReport
	// Sockets duplicates the open ports for a successor, which finds them in its
	// Options.Sockets and listens there instead of opening them anew.
	Sockets() (Sockets, error)
	// Retire gives the ports up: nothing is accepted any more and whatever is kept for
	// further requests is closed after the next one. Apply still steers what is left,
	// and writes nothing to disk any more, which is the successor's by now. Run returns
	// nil when nothing is left; who wants an end before that ends its context.
	Retire()
}

// AdminOptions are the parts of an Admin; all are required.
type AdminOptions struct {
	Edge Served
	// Dir is the edge's directory, Lock the right to serve it.
	Dir  string
	Lock *Lock
	// Program is this davit's version.
	Program string
	Logger  *slog.Logger
}

// Admin answers the agent on the edge's socket: JSON over HTTP. Whoever can open the
// socket can steer the edge, so there is no further authentication.
type Admin struct {
	AdminOptions
	elders elders
	// turn has room for one table or succession at a time.
	turn chan struct{}
	// handed is closed when a successor serves in this edge's place.
	handed   chan struct{}
	handOnce sync.Once
	// ending is closed when this edge is to end; heirs counts who takes over, or waits for
	// that.
	ending  chan struct{}
	endOnce sync.Once
	heirs   atomic.Int64
	// bequests are the successions under way.
	bequests sync.WaitGroup
	// listener is the socket, elder its second name once there is a successor.
	listener *socket.Listener
	elder    string
}

// NewAdmin returns an Admin; Serve starts it.
func NewAdmin(o AdminOptions) *Admin {
	return &Admin{AdminOptions: o, elders: elders{dir: o.Dir},
		turn: make(chan struct{}, 1), handed: make(chan struct{}), ending: make(chan struct{})}
}

// Serve answers on l until ctx ends, lets what is under way finish, and closes l.
func (a *Admin) Serve(ctx context.Context, l *socket.Listener) error {
	a.listener = l
	server := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(a.Logger.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the admin API on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := server.Shutdown(late)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // an heir still waits, or a client does not read
	}
	<-failed
	a.bequests.Wait()
	if a.elder != "" {
		// A successor that found nobody there any more has removed it.
		if rm := os.Remove(a.elder); !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
	}
	return err
}

// Handler is the API.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /versions", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, newVersions(a.Program, os.Getpid()))
	})
	mux.Handle("PUT /v1/table", a.ours(a.apply))
	mux.Handle("GET /v1/table", a.ours(func(*http.Request) (any, error) { return a.Edge.Table(), nil }))
	mux.Handle("GET /v1/state", a.ours(func(r *http.Request) (any, error) {
		return a.elders.add(r.Context(), a.Edge.State())
	}))
	mux.Handle("GET /v1/signals", a.ours(func(r *http.Request) (any, error) {
		report := a.Edge.Signals()
		var err error
		report.Elders, err = a.elders.signals(r.Context())
		return report, err
	}))
	mux.HandleFunc("POST /v1/takeover", a.takeover)
	// What a successor asks of an edge that it has succeeded.
	mux.Handle("PUT /v1/elder/table", answer(a.applyElder))
	mux.Handle("GET /v1/elder/state", answer(func(*http.Request) (any, error) { return a.Edge.State(), nil }))
	mux.Handle("GET /v1/elder/signals", answer(func(*http.Request) (any, error) { return a.Edge.Signals(), nil }))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, &Refusal{Status: http.StatusNotFound, Message: fmt.Sprintf("%s %s: the edge has no such thing", r.Method, r.URL.Path)})
	})
	return mux
}

// ours answers for as long as there is no successor to ask.
func (a *Admin) ours(f func(*http.Request) (any, error)) http.Handler {
	return answer(func(r *http.Request) (any, error) {
		if a.over() {
			return nil, errHandedOver
		}
		return f(r)
	})
}

func (a *Admin) over() bool {
	select {
	case <-a.handed:
		return true
	default:
		return false
	}
}

// answer turns a function that returns a value or an error into a handler.
func answer(f func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
		defer cancel()
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(adminPatience))
		r.Body = http.MaxBytesReader(w, r.Body, maxTable)
		value, err := f(r.WithContext(ctx))
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, http.StatusOK, value)
	})
}

// apply makes the edge serve a table, and the edges before it that still end.
func (a *Admin) apply(r *http.Request) (any, error) {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	t, err := decodeTable(decoder)
	if err != nil {
		return nil, reconcile.WithHint(err, "this edge is davit %s; if the agent is newer, run its `davit edge --takeover`", a.Program)
	}
	if err := a.begin(r.Context()); err != nil {
		return nil, err
	}
	defer a.finish()
	ack, err := a.Edge.Apply(r.Context(), t)
	if err != nil {
		return nil, err
	}
	return ack, a.elders.apply(r.Context(), t)
}

// applyElder lets a successor steer what this edge still has to do. What the
// successor's tables can say and this edge does not know is for the successor.
func (a *Admin) applyElder(r *http.Request) (any, error) {
	t, err := decodeTable(json.NewDecoder(r.Body))
	if err != nil {
		return nil, err
	}
	return a.Edge.Apply(r.Context(), t)
}

func decodeTable(d *json.Decoder) (t Table, err error) {
	if err = d.Decode(&t); err == nil {
		err = t.Validate()
	}
	if err != nil {
		return t, &Refusal{Status: http.StatusBadRequest, Message: fmt.Sprintf("read the table: %v", err)}
	}
	return t, nil
}

// begin waits for the turn to change what is served, and by whom.
func (a *Admin) begin(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.over() {
		a.finish()
		return errHandedOver
	}
	return nil
}

func (a *Admin) finish() { <-a.turn }
