package engine_test

import (
	"errors"
	"testing"
	"time"

	"davit/reconcile"
)

func TestAnEngineTellsOfItsHost(t *testing.T) {
	l := newLab(t)
	h, err := l.engine.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h.Version == "" || h.TooOld || h.StorageDriver == "" || h.RootDir == "" || h.Memory == 0 || h.Bridges < 1 || h.Subnets < 2 ||
		time.Since(h.Clock).Abs() > time.Hour {
		t.Errorf("%+v", h)
	}
	if _, err := newEngine(t, "unix:///nowhere.sock").Host(t.Context()); !errors.Is(err, reconcile.ErrEngineUnavailable) {
		t.Errorf("of no engine: %v", err)
	}
}
