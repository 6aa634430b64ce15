package mix

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Target is where the sample app is published, as "host:port".
type Target struct {
	// HTTP is its port for HTTP and WebSockets.
	HTTP string
	// RecordsAuto and RecordsTCP are its ports for records, one whose protocol is found
	// out and one that is said to be TCP.
	RecordsAuto, RecordsTCP string
}

// Server is the container that answered.
type Server struct {
	Version string
	// Container is its host name: the first twelve digits of its ID.
	Container string
}

// served reads what the sample app says of itself, VERSION@HOSTNAME.
func served(by string) (Server, error) {
	version, container, ok := strings.Cut(by, "@")
	if !ok {
		return Server{}, fmt.Errorf("%w: %q does not say who answers", errMangled, by)
	}
	return Server{Version: version, Container: container}, nil
}

// Failure is one request that failed.
type Failure struct {
	Kind Kind
	At   time.Time
	Err  error
}

func (f Failure) String() string {
	return fmt.Sprintf("%s %s: %v", f.At.Format("15:04:05.000"), f.Kind, f.Err)
}

// Mix is the load while it goes on.
type Mix struct {
	at   Target
	end  context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	report Report
}

const (
	small  = 200     // bytes of most requests, at most
	upload = 1 << 20 // and of the large ones
	// short is how long those streams live that end by themselves, at most.
	short = 2 * time.Second
)

// Start begins the load, which goes on until Stop.
func Start(ctx context.Context, at Target) *Mix {
	ctx, end := context.WithCancel(ctx)
	m := &Mix{at: at, end: end}
	for range kinds {
		m.report.Requests = append(m.report.Requests, Tally{Versions: map[string]int{}})
	}
	for range 3 {
		m.visit(ctx, visitor{kind: KeepAlive, most: small}, 50*time.Millisecond)
		m.visit(ctx, visitor{kind: H2C, most: small}, 50*time.Millisecond)
		m.records(ctx, RecordAuto, at.RecordsAuto)
		m.records(ctx, RecordTCP, at.RecordsTCP)
		m.converse(ctx, WebSocket, short)
		m.converse(ctx, StreamAuto, short)
		m.converse(ctx, StreamTCP, short)
	}
	trunk := m.h2c(H2C)
	for range 2 {
		m.visit(ctx, visitor{kind: OneShot, most: small}, 100*time.Millisecond)
		m.visit(ctx, visitor{kind: H2C, most: small, shared: trunk}, 50*time.Millisecond)
		m.visit(ctx, visitor{kind: Upload, most: upload}, 500*time.Millisecond)
		m.converse(ctx, WebSocket, 0)
		m.converse(ctx, StreamAuto, 0)
		m.converse(ctx, StreamTCP, 0)
	}
	m.visit(ctx, visitor{kind: UploadH2C, most: upload}, 500*time.Millisecond)
	return m
}

// Stop ends the load: what has begun is finished, and counted.
func (m *Mix) Stop() Report {
	m.end()
	m.done.Wait()
	return m.Report()
}

// Report is the count so far.
func (m *Mix) Report() Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.report
	r.Requests = append([]Tally(nil), r.Requests...)
	for i := range r.Requests {
		r.Requests[i].Versions = maps.Clone(r.Requests[i].Versions)
	}
	return r
}

// Reached reports whether a version has answered requests of every kind.
func (m *Mix) Reached(version string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for kind := range streams {
		if m.report.Requests[kind].Versions[version] == 0 {
			return false
		}
	}
	return true
}

// Failed reports whether a request failed, or a stream in a way that nothing excuses.
func (m *Mix) Failed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.report.failed()
}

// answered counts a request.
func (m *Mix) answered(kind Kind, by Server, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &m.report.Requests[kind]
	t.Total++
	if err != nil {
		t.Failed++
		m.report.Failures = append(m.report.Failures, Failure{Kind: kind, At: time.Now(), Err: err})
		return
	}
	t.Versions[by.Version]++
}

// connected counts a connection.
func (m *Mix) connected(kind Kind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.report.Requests[kind].Connections++
}

// repeat has ask asked again and again. What has begun when ctx ends is finished.
func (m *Mix) repeat(ctx context.Context, kind Kind, every time.Duration, ask func(context.Context) (Server, error)) {
	for {
		by, err := once(ctx, ask)
		m.answered(kind, by, err)
		if !pause(ctx, every) {
			return
		}
	}
}

// patience is how long anything may take that is not a matter of limits.
const patience = 30 * time.Second

func once(ctx context.Context, ask func(context.Context) (Server, error)) (Server, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return ask(ctx)
}

// pause reports whether it took its time, and ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// visit begins a client of HTTP.
func (m *Mix) visit(ctx context.Context, v visitor, every time.Duration) {
	transport := v.shared
	if transport == nil {
		transport = m.transport(v.kind)
	}
	v.client, v.at = &http.Client{Transport: transport}, m.at.HTTP
	m.done.Go(func() {
		defer transport.CloseIdleConnections()
		m.repeat(ctx, v.kind, every, v.ask)
	})
}

// records begins a client that has a connection for each record.
func (m *Mix) records(ctx context.Context, kind Kind, at string) {
	m.done.Go(func() {
		m.repeat(ctx, kind, 100*time.Millisecond, func(ctx context.Context) (Server, error) {
			m.connected(kind)
			return oneRecord(ctx, at)
		})
	})
}
