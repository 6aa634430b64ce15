package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
)

// EngineProxy stands between an agent and an engine's socket. It writes down every
// request and can strike at a chosen one: kill the agent just before the engine
// hears of it, or after the engine did it and before the agent learns.
type EngineProxy struct {
	// Host is what an agent connects to: "unix:///path".
	Host string

	tb       TB
	socket   string
	target   *url.URL
	upstream *http.Transport
	forward  *httputil.ReverseProxy

	mu      sync.Mutex
	server  *http.Server
	calls   []*Call
	trap    *trap
	fault   func(Call) error
	serving sync.WaitGroup
	// checkups are the runs of health checks that agents have made, by ID.
	checkups map[string]bool
}

// Moment says on which side of a request a trap strikes.
type Moment int

const (
	// Before: the engine never hears of the request.
	Before Moment = iota
	// After: the engine has carried it out, the answer is lost.
	After
)

func (m Moment) String() string { return [...]string{"before", "after"}[m] }

// trap waits for one mutating request.
type trap struct {
	left   int // requests to let pass, this one included
	moment Moment
	strike func()
	struck *Call
}

// newEngineProxy listens at socket in front of the engine at host.
func newEngineProxy(tb TB, host, socket string) *EngineProxy {
	tb.Helper()
	target := &url.URL{Scheme: "http", Host: "engine"}
	p := &EngineProxy{Host: "unix://" + socket, tb: tb, socket: socket, target: target, checkups: map[string]bool{}}
	if path, ok := strings.CutPrefix(host, "unix://"); ok {
		p.upstream = unixTransport(path)
	} else {
		target.Host = strings.TrimPrefix(host, "tcp://")
		p.upstream = &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     p.upstream,
		FlushInterval: -1, // events and progress arrive as they are written
		// An engine that is away must look away, not like a bad gateway.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ModifyResponse: func(r *http.Response) error {
			return p.answered(r)
		},
	}
	p.Start()
	tb.Cleanup(p.Stop)
	return p
}

// Start listens again after Stop.
func (p *EngineProxy) Start() {
	p.tb.Helper()
	_ = os.Remove(p.socket)
	listener, err := net.Listen("unix", p.socket)
	if err != nil {
		p.tb.Fatalf("start engine proxy: %v", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(p.serve)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = server
	p.serving.Go(func() { _ = server.Serve(listener) }) // ends with ErrServerClosed
}

// Stop makes the engine unreachable: the socket is gone and every connection cut.
func (p *EngineProxy) Stop() {
	p.mu.Lock()
	server := p.server
	p.server = nil
	p.mu.Unlock()
	if server == nil {
		return
	}
	_ = server.Close()
	p.serving.Wait()
}

// Arm sets a trap for the n-th mutating request from now, counting from 1. The
// trap strikes once. An earlier trap is taken away.
func (p *EngineProxy) Arm(n int, moment Moment, strike func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = &trap{left: n, moment: moment, strike: strike}
}

// Struck reports whether the trap has been sprung. It has before the engine hears of
// the call.
func (p *EngineProxy) Struck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trap != nil && p.trap.struck != nil
}

// Disarm takes the trap away and returns the call that it struck, if it did.
func (p *EngineProxy) Disarm() (Call, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.trap
	p.trap = nil
	if t == nil || t.struck == nil {
		return Call{}, false
	}
	return *t.struck, true
}

// Fail makes the engine refuse the calls for which fault returns an error, with
// status 500 and that error's message; nil ends it.
func (p *EngineProxy) Fail(fault func(Call) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

// Calls is everything that was asked so far.
func (p *EngineProxy) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := make([]Call, len(p.calls))
	for i, c := range p.calls {
		calls[i] = *c
	}
	return calls
}

// Mutations are the calls that changed something, or tried to.
func (p *EngineProxy) Mutations() []Call {
	return slices.DeleteFunc(p.Calls(), func(c Call) bool { return !c.Mutates() })
}

// Forget empties the record.
func (p *EngineProxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = nil
}

type callKey struct{}

// serve records one request and passes it on, unless a trap or a fault is in its
// way.
func (p *EngineProxy) serve(w http.ResponseWriter, r *http.Request) {
	call := callOf(r)
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		call.Body = body
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	t, fault := p.record(&call)
	switch {
	case fault != nil:
		p.mu.Lock()
		call.Status = http.StatusInternalServerError
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"message":%q}`, fault.Error())
	case t != nil && t.moment == Before:
		t.strike()
		panic(http.ErrAbortHandler)
	case t != nil:
		p.carryOut(r, &call)
		t.strike()
		panic(http.ErrAbortHandler)
	default:
		p.forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, &call)))
	}
}

// record writes the call down and returns what is in its way.
func (p *EngineProxy) record(call *Call) (*trap, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	call.Checkup = call.checks() || p.checkups[call.execution()]
	p.calls = append(p.calls, call)
	if p.fault != nil {
		if err := p.fault(*call); err != nil {
			return nil, err
		}
	}
	if p.trap == nil || p.trap.struck != nil || !call.Mutates() {
		return nil, nil
	}
	if p.trap.left--; p.trap.left > 0 {
		return nil, nil
	}
	p.trap.struck = call
	return p.trap, nil
}

// carryOut has the engine do it to the end, though nobody will hear the answer.
func (p *EngineProxy) carryOut(r *http.Request, call *Call) {
	request := r.Clone(context.WithoutCancel(r.Context()))
	request.URL.Scheme, request.URL.Host, request.RequestURI = p.target.Scheme, p.target.Host, ""
	response, err := p.upstream.RoundTrip(request)
	if err != nil {
		p.tb.Errorf("engine proxy: carry out %s: %v", call, err)
		return
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body) // progress ends when the work does
	p.mu.Lock()
	defer p.mu.Unlock()
	call.Status = response.StatusCode
}

// answered writes an answer's status down, and the health check that it has made.
func (p *EngineProxy) answered(r *http.Response) error {
	call, ok := r.Request.Context().Value(callKey{}).(*Call)
	if !ok {
		return nil
	}
	var made struct{ ID string }
	if call.checks() {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return fmt.Errorf("read engine's answer to %s: %w", call.Path, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		_ = json.Unmarshal(body, &made) // a refusal names none
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	call.Status = r.StatusCode
	if made.ID != "" {
		p.checkups[made.ID] = true
	}
	return nil
}
