package enginetest

import (
	"context"
	"time"
)

// Answers reports whether the daemon is up.
func (e *Engine) Answers(ctx context.Context) error {
	return e.read(ctx, "answer", func(time.Time) error { return nil })
}
