package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheLogHoldsNoSecretWhateverCarriesIt(t *testing.T) {
	known := newSecrets()
	known.learn("hunter2 \"quoted\"", "first line\nsecond line")
	for name, make := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			secret := "hunter2 \"quoted\""
			logger := slog.New(scrubbing{make(&out), known.scrub}).With("with", secret).WithGroup("group")
			logger.Info("message "+secret, "text", secret, "error", fmt.Errorf("wrapped: %w", errors.New(secret)),
				slog.Group("inner", "deep", secret), "list", []string{secret}, "lines", "first line\nsecond line", "took", time.Second, "n", 5)
			text := out.String()
			for _, part := range []string{"hunter2", "quoted", "first line", "second line"} {
				if strings.Contains(text, part) {
					t.Errorf("the log holds %q: %s", part, text)
				}
			}
			for _, part := range []string{"message ***", "wrapped: ***", "5"} {
				if !strings.Contains(text, part) {
					t.Errorf("the log does not hold %q: %s", part, text)
				}
			}
		})
	}
}

func TestALogWithoutSecretsIsAsItWas(t *testing.T) {
	var plain, scrubbed bytes.Buffer
	known := newSecrets()
	known.learn("hunter2hunter2")
	drop := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	for _, h := range []slog.Handler{slog.NewJSONHandler(&plain, drop), scrubbing{slog.NewJSONHandler(&scrubbed, drop), known.scrub}} {
		slog.New(h).With("a", 1).WithGroup("g").Warn("m", "took", time.Second, "list", []string{"x"}, slog.Group("in", "b", true), "err", errors.New("x"))
	}
	if plain.String() != scrubbed.String() {
		t.Errorf("got %swant %s", scrubbed.String(), plain.String())
	}
}
