package state

import (
	"log/slog"
	"testing"
)

func TestWhoeverLooksAtTheLockLeavesItAsItIs(t *testing.T) {
	dir := t.TempDir()
	if held, err := Held(dir); held || err != nil || len(listing(t, dir)) > 0 {
		t.Fatalf("of nobody: %t, %v, %v", held, err, listing(t, dir))
	}
	s, _, err := Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	if held, err := Held(dir); !held || err != nil {
		t.Errorf("of an agent: %t, %v", held, err)
	}
	check(t, s.Close())
	if held, err := Held(dir); held || err != nil {
		t.Errorf("of an agent that ended: %t, %v", held, err)
	}
	s, _, err = Open(Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	check(t, s.Close())
}
