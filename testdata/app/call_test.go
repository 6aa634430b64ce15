package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestACalleeRefusesUntilItsHealthCheckHasPassed(t *testing.T) {
	s := &callee{service: service{behaviour: behaviour{version: "1"}, started: time.Now()}}
	server := httptest.NewServer(s.handler())
	defer server.Close()
	if version, err := post(http.DefaultClient, server.URL); err == nil {
		t.Errorf("before the check: %s", version)
	}
	response, err := http.Get(server.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if version, err := post(http.DefaultClient, server.URL); err != nil || version != "1" {
		t.Errorf("after the check: %s, %v", version, err)
	}
}

func TestACallerTriesEachAddress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "1") }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// Where this machine has both, the name means ::1 as well, where nobody listens.
	conn, err := dialEach(t.Context(), "tcp", net.JoinHostPort("localhost", port))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
