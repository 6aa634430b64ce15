package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// shutdownLimit is how long requests in flight may take once the listener is
// closed.
const shutdownLimit = 5 * time.Second

// service answers for one container.
type service struct {
	behaviour
	started  time.Time
	draining atomic.Bool
	load     loadSeen
	// dead is true once somebody asked it to answer 503 at /livez.
	dead atomic.Bool
}

// serve runs until ctx ends, which is SIGTERM, or EXIT_AFTER strikes.
func serve(ctx context.Context, b behaviour) error {
	fmt.Printf("app %s starting\n", b.version)
	tell(b.tell)
	if b.data != "" {
		journal, err := openJournal(b.data, b.version)
		if err != nil {
			return err
		}
		defer journal.close()
		go journal.tick()
	}
	s := &service{behaviour: b, started: time.Now()}
	server := &http.Server{Addr: ":" + b.port, Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	if err := s.answerRecords(b.records); err != nil {
		return err
	}

	var expiry <-chan time.Time
	if b.exits {
		expiry = time.After(b.exitAfter)
	}
	select {
	case err := <-failed:
		return fmt.Errorf("serve on port %s: %w", b.port, err)
	case <-expiry:
		fmt.Fprintf(os.Stderr, "app %s: exiting with code %d as asked\n", b.version, b.exitCode)
		return exit(b.exitCode)
	case <-ctx.Done():
		return s.stop(server)
	}
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.answer)
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if reason := s.unhealthy(); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		if s.dead.Load() {
			http.Error(w, s.version+" is dead inside", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("DELETE /livez", func(http.ResponseWriter, *http.Request) { s.dead.Store(true) })
	mux.HandleFunc("GET /file/{path...}", readFile)
	mux.HandleFunc("PUT /file/{path...}", writeFile)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("GET /socket", s.socket)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Served-By", s.name())
		mux.ServeHTTP(w, r)
	})
}

// unhealthy is why /healthz answers 503, or "".
func (s *service) unhealthy() string {
	switch {
	case s.neverHealthy:
		return s.version + " is never healthy"
	case s.spoilt():
		return s.version + " has become unhealthy"
	case s.draining.Load():
		return s.version + " is draining"
	case time.Since(s.started) < s.healthyAfter:
		return s.version + " is warming up"
	}
	return ""
}

// stop meets SIGTERM. Draining means: answer everything for a while, telling
// clients to come back on another connection, and only then close the door.
func (s *service) stop(server *http.Server) error {
	if s.dieAtOnce {
		return exit(killed)
	}
	s.draining.Store(true)
	server.SetKeepAlivesEnabled(false)
	time.Sleep(s.drain)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}

// healthcheck asks this container's own server how it is. What it prints is what
// the engine shows as the health log.
func healthcheck(ctx context.Context, b behaviour) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+b.port+"/healthz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body := make([]byte, 256)
	n, _ := response.Body.Read(body)
	fmt.Print(string(body[:n]))
	if response.StatusCode != http.StatusOK {
		return exit(1)
	}
	return nil
}

// migrate is a one-shot task: it takes its time and ends as it is told.
func migrate(ctx context.Context, b behaviour) error {
	fmt.Printf("app %s migrating\n", b.version)
	select {
	case <-time.After(b.migrateFor):
	case <-ctx.Done():
		return exit(killed)
	}
	if b.exitCode != 0 {
		fmt.Fprintln(os.Stderr, "migration failed as asked")
		return exit(b.exitCode)
	}
	return nil
}
