package engine

import (
	"context"
	"errors"
	"fmt"

	"davit/reconcile"
)

// Answers reports whether the engine is there to stay: it takes a new connection and
// answers over it. One that shuts down goes on answering over the connections that it
// has, and refuses much of what it is asked. reconcile.ErrEngineUnavailable when it
// is not.
func (e *Engine) Answers(ctx context.Context) error {
	err := e.answersAnew(ctx)
	if err == nil || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("ask the engine over a new connection: %w: %w", reconcile.ErrEngineUnavailable, err)
}
