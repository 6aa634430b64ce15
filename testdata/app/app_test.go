package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestBehaviourIsReadFromTheEnvironment(t *testing.T) {
	env := map[string]string{"VERSION": "1", "HEALTH": "never", "EXIT_AFTER": "0s", "EXIT_CODE": "7", "STOP": "exit", "DRAIN": "0s"}
	b, err := behaviourFrom(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	want := behaviour{version: "1", port: "8080", neverHealthy: true, exits: true, exitCode: 7, dieAtOnce: true}
	if b != want {
		t.Errorf("behaviour = %+v, want %+v", b, want)
	}
	for _, bad := range []string{"EXIT_AFTER", "EXIT_CODE", "DRAIN"} {
		if _, err := behaviourFrom(func(name string) string {
			if name == bad {
				return "soon"
			}
			return ""
		}); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s=soon: error = %v", bad, err)
		}
	}
}

func TestLoadCountsAnswersAndFailures(t *testing.T) {
	var asked atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := asked.Add(1)
		if n == 30 {
			cancel()
		}
		if n%3 == 0 {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "1.0.0")
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := load(ctx, []string{"-rate", "200", server.URL}, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var seen tally
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &seen); err != nil {
		t.Fatal(err)
	}
	answered := int(asked.Load())
	if seen.Total != answered || seen.Failed != answered/3 || seen.Versions["1.0.0"] != answered-answered/3 {
		t.Errorf("tally = %+v of %d requests", seen, answered)
	}
	if seen.Errors["status 503"] != seen.Failed {
		t.Errorf("errors = %v, want all of them to be status 503", seen.Errors)
	}
}

func TestServiceIsUnhealthyWhileItWarmsUpAndDrains(t *testing.T) {
	s := &service{behaviour: behaviour{version: "1", healthyAfter: time.Hour}, started: time.Now()}
	if got := s.unhealthy(); got != "1 is warming up" {
		t.Errorf("while warming up: %q", got)
	}
	s.started = time.Now().Add(-2 * time.Hour)
	if got := s.unhealthy(); got != "" {
		t.Errorf("once warm: %q", got)
	}
	s.draining.Store(true)
	if got := s.unhealthy(); got != "1 is draining" {
		t.Errorf("while draining: %q", got)
	}
}
