package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"davit/reconcile"
)

const (
	keepEvents = 10_000
	// Old events are deleted in heaps of this size.
	eventSlack = 128

	eventColumns = `id, at, stack, service, kind, severity, message, seq, version, commit_id`
)

// AppendEvent records e and returns it with its id. Ids strictly increase, also
// past a lost database. The newest ten thousand events are kept.
func (s *Store) AppendEvent(ctx context.Context, e reconcile.Event) (reconcile.Event, error) {
	return s.AppendNotified(ctx, e, nil)
}

// AppendNotified records e and puts deliveries of it in line, both or neither.
// The deliveries need no Event.
func (s *Store) AppendNotified(ctx context.Context, e reconcile.Event, deliveries []reconcile.Delivery) (reconcile.Event, error) {
	what := fmt.Sprintf("record event %s", e.Kind)
	if e.At.IsZero() {
		return e, errors.New(what + ": it has no time")
	}
	err := s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `INSERT INTO events (at, stack, service, kind, severity, message, seq, version, commit_id)
			VALUES (?,?,?,?,?,?,?,?,?)`, stamp(e.At), e.Stack, e.Service, string(e.Kind), string(e.Severity), e.Message,
			e.Seq, e.Version, e.Commit)
		if err != nil {
			return err
		}
		if e.ID, err = done.LastInsertId(); err != nil {
			return err
		}
		for _, d := range deliveries {
			d.Event = e
			if err := enqueue(ctx, tx, d); err != nil {
				return err
			}
		}
		return trimEvents(ctx, tx, e.ID)
	})
	return e, err
}

// trimEvents counts rows and not ids, which may have gaps.
func trimEvents(ctx context.Context, tx *sql.Tx, newest int64) error {
	if newest%eventSlack != 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `DELETE FROM events WHERE id <=
		(SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)`, keepEvents)
	return err
}

// Events returns up to limit events with an id above after, oldest first. An empty
// stack means all stacks, limit 0 means no limit.
func (r *Reader) Events(ctx context.Context, stack string, after int64, limit int) ([]reconcile.Event, error) {
	return r.events(ctx, stack, `SELECT `+eventColumns+` FROM events
		WHERE id > ?2 AND (?1 = '' OR stack = ?1) ORDER BY id LIMIT ?3`, after, limit)
}

// LastEvents returns the newest n events, oldest first. An empty stack means all
// stacks.
func (r *Reader) LastEvents(ctx context.Context, stack string, n int) ([]reconcile.Event, error) {
	events, err := r.events(ctx, stack, `SELECT `+eventColumns+` FROM events
		WHERE id > ?2 AND (?1 = '' OR stack = ?1) ORDER BY id DESC LIMIT ?3`, 0, n)
	slices.Reverse(events)
	return events, err
}

func (r *Reader) events(ctx context.Context, stack, query string, after int64, limit int) ([]reconcile.Event, error) {
	if limit <= 0 {
		limit = -1
	}
	var events []reconcile.Event
	err := r.view(ctx, "read events", func(ctx context.Context, tx *sql.Tx) (err error) {
		events, err = readEvents(ctx, tx, query, stack, after, limit)
		return err
	})
	return events, err
}

func readEvents(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]reconcile.Event, error) {
	var events []reconcile.Event
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var e reconcile.Event
		err := rows.Scan(&e.ID, (*stamp)(&e.At), &e.Stack, &e.Service, &e.Kind, &e.Severity, &e.Message,
			&e.Seq, &e.Version, &e.Commit)
		events = append(events, e)
		return err
	}, query, args...)
	return events, err
}
