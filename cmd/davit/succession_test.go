package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"davit/reconcile"
	"davit/traffic"
)

// A data directory that was lost but for its edge has an agent with a new identity, and
// an edge that serves what the former one had it serve.
func TestAnAgentThatLostItsIdentityTakesTheTableOver(t *testing.T) {
	t.Parallel()
	b := newEdgeBed(t, "one")
	b.edge()
	at := b.freePort()
	b.generation = 41
	before := b.table(at)
	before.Ports[0].Target = b.containers[0].address.Port()
	b.apply(before) // of the instance "test"
	client := b.client()
	defer client.Close()
	var log bytes.Buffer
	agent := ports{edge: client, instance: "reborn", logger: slog.New(slog.NewTextHandler(&log, nil))}

	found, err := agent.Look(t.Context())
	if err != nil || len(found.Routes) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	found.Generation++
	if err := agent.Apply(t.Context(), found); err != nil {
		t.Fatal(err)
	}
	if s := b.state(); s.Instance != "reborn" || s.Generation != found.Generation || len(s.Ports) != 1 || s.Ports[0].Closed != "" {
		t.Errorf("%+v", s)
	}
	if who, err := callOnce(at, "hello"); err != nil || who != "one" {
		t.Errorf("what was served is not any more: %q, %v", who, err)
	}
	if said := log.String(); !strings.Contains(said, "before=test") || !strings.Contains(said, "instance=reborn") {
		t.Errorf("the log does not say whose table it was: %s", said)
	}

	stale := reconcile.EdgeTable{Generation: found.Generation, Routes: nil}
	var refused *traffic.Refusal
	if err := agent.Apply(t.Context(), stale); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
		t.Errorf("a table that is older than what is served: %v", err)
	}
	if s := b.state(); s.Instance != "reborn" || len(s.Ports) != 1 {
		t.Errorf("%+v", s)
	}
}
