package web_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"davit/reconcile"
	"davit/web"
)

func TestEventsBeginWithTheNewestAndStopWithoutFollow(t *testing.T) {
	a := newAgent()
	a.happen("shop", 150)
	a.happen("db", 5)
	c := client(t, serve(t, a))
	tests := map[string]struct {
		query web.EventQuery
		first int64
		n     int
	}{
		"the newest hundred":  {web.EventQuery{}, 56, 100},
		"the newest three":    {web.EventQuery{Limit: 3}, 153, 3},
		"of one stack":        {web.EventQuery{Stack: "db"}, 151, 5},
		"after a known one":   {web.EventQuery{After: 140}, 141, 15},
		"after the last one":  {web.EventQuery{After: 155}, 0, 0},
		"of a stack, limited": {web.EventQuery{Stack: "shop", Limit: 1}, 150, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var ids []int64
			if err := c.Events(t.Context(), test.query, func(e reconcile.Event) error {
				ids = append(ids, e.ID)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(ids) != test.n || (test.n > 0 && ids[0] != test.first) {
				t.Errorf("%d events from %v, want %d from %d", len(ids), ids[:min(1, len(ids))], test.n, test.first)
			}
		})
	}
}

var errEnough = errors.New("enough")

func TestFollowerSeesWhatHappensLaterInOrder(t *testing.T) {
	a := newAgent()
	a.happen("shop", 1)
	c := client(t, serve(t, a))
	var last int64
	err := c.Events(t.Context(), web.EventQuery{Follow: true}, func(e reconcile.Event) error {
		if e.ID != last+1 {
			t.Errorf("event %d after %d", e.ID, last)
		}
		last = e.ID
		if last == 10 {
			return errEnough
		}
		a.happen("shop", 1)
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
}

func TestSlowReaderHoldsNobodyUpAndMissesNothing(t *testing.T) {
	a := newAgent()
	path := serve(t, a)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /v1/events?follow=1 HTTP/1.1\r\nHost: davit\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	// More than the socket's buffers hold, while the reader above reads nothing.
	const n = 50_000
	for range n / 1000 {
		a.happen("shop", 1000)
	}
	var last int64
	err = client(t, path).Events(t.Context(), web.EventQuery{After: 1, Follow: true}, func(e reconcile.Event) error {
		if last = e.ID; last == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("a second reader got up to %d: %v", last, err)
	}
}

func TestFollowerResumesWhenTheAgentIsRestarted(t *testing.T) {
	a := newAgent()
	a.happen("shop", 1)
	path := filepath.Join(t.TempDir(), web.SocketName)
	start := func() func() {
		l, err := web.Listen(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return run(t, a, l)
	}
	stop := start()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var ids []int64
	err := client(t, path).Events(ctx, web.EventQuery{Follow: true}, func(e reconcile.Event) error {
		ids = append(ids, e.ID)
		if len(ids) == 3 {
			return errEnough
		}
		if len(ids) == 1 {
			stop()
			a.happen("shop", 2)
			start()
		}
		return nil
	})
	if !errors.Is(err, errEnough) || ids[1] != 2 || ids[2] != 3 {
		t.Errorf("events %v, error %v", ids, err)
	}
}
