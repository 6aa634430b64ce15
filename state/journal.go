package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"davit/reconcile"
)

// Intend records that a step is about to run. Its error forbids the step; on a
// full disk it is reconcile.ErrDiskFull.
func (s *Store) Intend(ctx context.Context, e reconcile.Entry) error {
	what := fmt.Sprintf("journal step %d of %s #%d", e.Step, e.Stack, e.Seq)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if e.At.IsZero() {
		return fmt.Errorf("%s: it has no time", what)
	}
	return s.execute(ctx, what, `INSERT INTO journal (stack, seq, step, action, container, intended, error)
		VALUES (?,?,?,?,?,?,'')`, e.Stack, e.Seq, e.Step, e.Action, e.Container, stamp(e.At))
}

// Done records how the step ended that was intended last under this stack,
// release and step number.
func (s *Store) Done(ctx context.Context, e reconcile.Entry) error {
	what := fmt.Sprintf("journal the end of step %d of %s #%d", e.Step, e.Stack, e.Seq)
	if e.At.IsZero() {
		return fmt.Errorf("%s: it has no time", what)
	}
	return s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE journal SET done = ?, error = ?,
			container = CASE ? WHEN '' THEN container ELSE ? END
			WHERE id = (SELECT max(id) FROM journal WHERE stack = ? AND seq = ? AND step = ? AND done IS NULL)`,
			stamp(e.At), e.Err, e.Container, e.Container, e.Stack, e.Seq, e.Step)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return errors.New("it was not intended")
	})
}

// Journal returns the steps of one release in the order in which they were
// intended. Those of the last fifty releases of a stack are kept.
func (r *Reader) Journal(ctx context.Context, stack string, seq int64) ([]reconcile.JournalEntry, error) {
	var entries []reconcile.JournalEntry
	err := r.view(ctx, fmt.Sprintf("read journal of %s #%d", stack, seq), func(ctx context.Context, tx *sql.Tx) error {
		return each(ctx, tx, func(rows *sql.Rows) error {
			var e reconcile.JournalEntry
			err := rows.Scan(&e.Stack, &e.Seq, &e.Step, &e.Action, &e.Container, (*stamp)(&e.At), &e.Done, &e.Err)
			entries = append(entries, e)
			return err
		}, `SELECT stack, seq, step, action, container, intended, done IS NOT NULL, error
			FROM journal WHERE stack = ? AND seq = ? ORDER BY id`, stack, seq)
	})
	return entries, err
}
