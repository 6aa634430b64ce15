package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAgentThatRunsOnForgetsFormerSources(t *testing.T) {
	data := t.TempDir()
	former := filepath.Join(data, "sources", "former-1")
	if err := os.MkdirAll(former, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if err := os.Chtimes(former, time.Now(), time.Now()); err != nil {
			t.Fatal(err)
		}
		a := &agent{config: Config{Data: data}, logger: slog.New(slog.DiscardHandler), now: time.Now}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go a.keepForgetting(ctx)
		time.Sleep(29 * 24 * time.Hour)
		synctest.Wait()
		if _, err := os.Stat(former); err != nil {
			t.Errorf("after 29 days: %v", err)
		}
		time.Sleep(3 * 24 * time.Hour)
		synctest.Wait()
		if _, err := os.Stat(former); !os.IsNotExist(err) {
			t.Errorf("after 32 days: %v", err)
		}
	})
}
