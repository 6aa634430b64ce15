package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// callee answers whoever calls it by its service's name. Before its health check has
// passed it refuses, and when it is told to end it loses nobody.
type callee struct {
	service
	proven  atomic.Bool
	leaving atomic.Bool
	// open is the number of connections.
	open atomic.Int64
}

// answerCalls runs until ctx ends, which is SIGTERM.
func answerCalls(ctx context.Context, b behaviour) error {
	s := &callee{service: service{behaviour: b, started: time.Now()}}
	listener, err := net.Listen("tcp", ":"+b.port)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ConnState: s.count}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		return s.leave(listener.(*net.TCPListener), served)
	}
}

func (s *callee) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", s.answer)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := s.unhealthy(); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		s.proven.Store(true)
	})
	return mux
}

// answer takes a moment, so that there always is a request that an end could cut.
func (s *callee) answer(w http.ResponseWriter, r *http.Request) {
	if s.leaving.Load() {
		w.Header().Set("Connection", "close")
	}
	if !s.proven.Load() {
		http.Error(w, s.version+" was not ready", http.StatusServiceUnavailable)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	time.Sleep(10 * time.Millisecond)
	fmt.Fprintln(w, s.version)
}

func (s *callee) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

// leave lets nobody new in, answers everybody inside, tells each to call elsewhere from
// now on, and ends when nobody is left. Served is what Serve returns.
func (s *callee) leave(door *net.TCPListener, served <-chan error) error {
	if err := refuseKnocks(door); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	// Whoever is told to call elsewhere may well knock here again.
	s.leaving.Store(true)
	if err := untilEmpty(door); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	if err := door.Close(); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	<-served // and everybody who was let in is counted
	for limit := time.Now().Add(shutdownLimit); s.open.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("leave: %d connections are left", s.open.Load())
		}
	}
	return nil
}
