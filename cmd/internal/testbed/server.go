package testbed

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is an HTTP server on loopback that can be stopped and started again on
// the same port, can fall silent, and can ask for a password.
type Server struct {
	// Addr is "127.0.0.1:PORT" and stays the same for the server's life.
	Addr string

	tb      TB
	handler http.Handler

	mu       sync.Mutex
	http     *http.Server
	silent   chan struct{} // non-nil while requests are left unanswered
	user     string
	password string
	requests int
	served   sync.WaitGroup
}

// newServer starts handler on a port of its own until the owner ends.
func newServer(tb TB, handler http.Handler) *Server {
	tb.Helper()
	s := &Server{Addr: "127.0.0.1:0", tb: tb, handler: handler}
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// Start listens again after Stop.
func (s *Server) Start() {
	s.tb.Helper()
	listener, err := listen(s.tb.Context(), s.Addr)
	if err != nil {
		s.tb.Fatalf("start server: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Addr = listener.Addr().String()
	server := &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 10 * time.Second}
	s.http = server
	s.served.Go(func() { _ = server.Serve(listener) }) // ends with ErrServerClosed
}

// listen takes addr, which a connection that is still closing can hold for a
// moment after a stop.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	deadline := time.Now().Add(5 * time.Second)
	for {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err == nil || time.Now().After(deadline) {
			return listener, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop closes the port and every connection at once.
func (s *Server) Stop() {
	s.mu.Lock()
	server := s.http
	s.http = nil
	s.mu.Unlock()
	if server == nil {
		return
	}
	s.Resume()
	_ = server.Close()
	s.served.Wait()
}

// Hang leaves every request from now on without an answer, until Resume or Stop.
func (s *Server) Hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent == nil {
		s.silent = make(chan struct{})
	}
}

// Resume answers again, the requests that hang included.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent != nil {
		close(s.silent)
		s.silent = nil
	}
}

// RequirePassword asks for HTTP basic authentication; an empty user stops asking.
func (s *Server) RequirePassword(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.password = user, password
}

// Requests is how many requests have arrived so far.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests++
	silent, user, password := s.silent, s.user, s.password
	s.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-r.Context().Done():
			return
		}
	}
	if u, p, _ := r.BasicAuth(); user != "" && (u != user || p != password) {
		w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", s.Addr))
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return
	}
	s.handler.ServeHTTP(w, r)
}
