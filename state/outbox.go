package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"davit/reconcile"
)

const (
	// maxPending bounds what waits for one receiver that is gone for good.
	maxPending = 1000
	// maxWait ends the wait of deliveries whose target nobody asks for any more.
	maxWait = 7 * 24 * time.Hour
	// keepSettled is how many delivered and dropped ones are kept to be looked at.
	keepSettled = 1000
	// The bounds are kept whenever so many more have been put in line.
	outboxSlack = 64
)

// Enqueue puts d in line. It is dropped without an error if it repeats the last
// one; see reconcile.Delivery.
func (s *Store) Enqueue(ctx context.Context, d reconcile.Delivery) error {
	return s.write(ctx, "enqueue delivery to "+d.Target, func(ctx context.Context, tx *sql.Tx) error {
		return enqueue(ctx, tx, d)
	})
}

func enqueue(ctx context.Context, tx *sql.Tx, d reconcile.Delivery) error {
	if d.ID == "" || d.Created.IsZero() || d.Due.IsZero() {
		return errors.New("delivery needs an id and two times")
	}
	event, err := json.Marshal(d.Event)
	if err != nil {
		return err
	}
	if again, err := repeats(ctx, tx, d); err != nil || again {
		return err
	}
	done, err := tx.ExecContext(ctx, `INSERT INTO outbox (id, target, stack, event, key, status, created, due, attempts, note)
		VALUES (?,?,?,?,?,'pending',?,?,?,'')`,
		d.ID, d.Target, d.Event.Stack, string(event), d.Key, stamp(d.Created), stamp(d.Due), d.Attempts)
	if err != nil {
		return err
	}
	place, err := done.LastInsertId()
	if err != nil || place%outboxSlack != 0 {
		return err
	}
	return trimOutbox(ctx, tx, d)
}

// repeats reports whether d tells only what was told last. An equal delivery
// further back is none: between "failed" and "failed" may lie "recovered", and
// the receiver must not be left believing that.
func repeats(ctx context.Context, tx *sql.Tx, d reconcile.Delivery) (bool, error) {
	if d.Key == "" || d.Window <= 0 {
		return false, nil
	}
	var key string
	var created time.Time
	found, err := one(tx.QueryRowContext(ctx, `SELECT key, created FROM outbox WHERE target = ? AND stack = ?
		ORDER BY place DESC LIMIT 1`, d.Target, d.Event.Stack), &key, (*stamp)(&created))
	return found && key == d.Key && created.After(d.Created.Add(-d.Window)), err
}

// trimOutbox keeps the outbox from growing without end, and leaves a note on
// what is never going to be sent.
func trimOutbox(ctx context.Context, tx *sql.Tx, d reconcile.Delivery) error {
	_, err := tx.ExecContext(ctx, `UPDATE outbox SET status = 'dropped', note = 'too many were waiting' || iif(note = '', '', '; ' || note)
		WHERE status = 'pending' AND target = ?1 AND place <=
		(SELECT place FROM outbox WHERE status = 'pending' AND target = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)`,
		d.Target, maxPending)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE outbox SET status = 'dropped', note = 'waited too long' || iif(note = '', '', '; ' || note)
		WHERE status = 'pending' AND created < ?`, stamp(d.Created.Add(-maxWait)))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM outbox WHERE status <> 'pending' AND place <=
		(SELECT place FROM outbox WHERE status <> 'pending' ORDER BY place DESC LIMIT 1 OFFSET ?)`, keepSettled)
	return err
}

// Due returns up to limit deliveries to target whose time has come, in the order
// in which they were put in line.
func (r *Reader) Due(ctx context.Context, target string, now time.Time, limit int) ([]reconcile.Delivery, error) {
	var list []reconcile.Delivery
	err := r.view(ctx, "read deliveries to "+target, func(ctx context.Context, tx *sql.Tx) (err error) {
		list, err = readDeliveries(ctx, tx, `status = 'pending' AND target = ? AND due <= ? ORDER BY place LIMIT ?`,
			target, stamp(now), limit)
		return err
	})
	return list, err
}

func readDeliveries(ctx context.Context, tx *sql.Tx, where string, args ...any) ([]reconcile.Delivery, error) {
	var list []reconcile.Delivery
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var d reconcile.Delivery
		var event []byte
		if err := rows.Scan(&d.ID, &d.Target, &event, &d.Key, (*stamp)(&d.Created), (*stamp)(&d.Due), &d.Attempts); err != nil {
			return err
		}
		if err := json.Unmarshal(event, &d.Event); err != nil {
			return fmt.Errorf("delivery %s: %w", d.ID, err)
		}
		list = append(list, d)
		return nil
	}, `SELECT id, target, event, key, created, due, attempts FROM outbox WHERE `+where, args...)
	return list, err
}

// Delivered settles a delivery. One that is no longer on record is no error.
func (s *Store) Delivered(ctx context.Context, id string) error {
	return s.execute(ctx, "settle delivery "+id,
		`UPDATE outbox SET status = 'delivered', note = '' WHERE id = ? AND status = 'pending'`, id)
}

// Failed records a failed attempt and when the next one is due. A zero next gives
// the delivery up.
func (s *Store) Failed(ctx context.Context, id string, next time.Time, reason string) error {
	return s.execute(ctx, "record failed delivery "+id, `UPDATE outbox SET attempts = attempts + 1, note = ?,
		due = coalesce(?2, due), status = CASE WHEN ?2 IS NULL THEN 'dropped' ELSE status END
		WHERE id = ?3 AND status = 'pending'`, reason, stamp(next), id)
}
