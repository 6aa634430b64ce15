package main

import (
	"context"
	"log/slog"
)

// scrubbing is a log handler that takes known secrets out of what it passes on. An
// error of some library quotes whatever it was given.
type scrubbing struct {
	next  slog.Handler
	scrub func(string) string
}

func (h scrubbing) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h scrubbing) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, h.scrub(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h scrubbing) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.attr(a)
	}
	return scrubbing{h.next.WithAttrs(clean), h.scrub}
}

func (h scrubbing) WithGroup(name string) slog.Handler {
	return scrubbing{h.next.WithGroup(name), h.scrub}
}

func (h scrubbing) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		var members []any
		for _, m := range v.Group() {
			members = append(members, h.attr(m))
		}
		return slog.Group(a.Key, members...)
	case slog.KindString, slog.KindAny:
		// As the handlers print it, but for what has no secrets in it anyway.
		if text := v.String(); h.scrub(text) != text {
			return slog.String(a.Key, h.scrub(text))
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}
