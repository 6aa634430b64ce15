package testbed

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"
)

func hello(t *testing.T) *Server {
	return newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
}

func ask(ctx context.Context, s *Server, password string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr, nil)
	if err != nil {
		return 0, err
	}
	request.SetBasicAuth("ada", password)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	response.Body.Close()
	return response.StatusCode, nil
}

func TestServerComesBackOnItsPort(t *testing.T) {
	s := hello(t)
	addr := s.Addr
	for range 3 {
		if status, err := ask(t.Context(), s, ""); err != nil || status != http.StatusOK {
			t.Fatalf("answer = %d, %v", status, err)
		}
		s.Stop()
		if _, err := ask(t.Context(), s, ""); err == nil {
			t.Fatal("a stopped server answered")
		}
		s.Start()
	}
	if s.Addr != addr {
		t.Errorf("address moved from %s to %s", addr, s.Addr)
	}
	if got := s.Requests(); got != 3 {
		t.Errorf("requests = %d, want 3", got)
	}
}

func TestServerHangsUntilItResumes(t *testing.T) {
	s := hello(t)
	s.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if status, err := ask(ctx, s, ""); err == nil {
		t.Fatalf("a silent server answered %d", status)
	}
	answered := make(chan int, 1)
	go func() {
		status, _ := ask(t.Context(), s, "")
		answered <- status
	}()
	for s.Requests() < 2 {
		time.Sleep(time.Millisecond)
	}
	s.Resume()
	if status := <-answered; status != http.StatusOK {
		t.Errorf("answer after Resume = %d", status)
	}
}

func TestServerAsksForAPassword(t *testing.T) {
	s := hello(t)
	s.RequirePassword("ada", "right")
	for password, want := range map[string]int{"right": http.StatusOK, "wrong": http.StatusUnauthorized} {
		if status, err := ask(t.Context(), s, password); err != nil || status != want {
			t.Errorf("password %s: answer = %d, %v, want %d", password, status, err, want)
		}
	}
}
