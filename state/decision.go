package state

import (
	"context"
	"database/sql"
	"errors"

	"davit/reconcile"
)

// Controls returns what was decided about a stack outside Git.
func (r *Reader) Controls(ctx context.Context, stack string) (reconcile.Controls, error) {
	var c reconcile.Controls
	err := r.view(ctx, "read decisions on "+stack, func(ctx context.Context, tx *sql.Tx) (err error) {
		c, err = readControls(ctx, tx, stack)
		return err
	})
	return c, err
}

func readControls(ctx context.Context, tx *sql.Tx, stack string) (reconcile.Controls, error) {
	hold := &reconcile.Hold{Stack: stack}
	pin := &reconcile.Pin{Stack: stack}
	suspension := &reconcile.Suspension{Stack: stack}
	var c reconcile.Controls

	found, err := one(tx.QueryRowContext(ctx, `SELECT spec, seq, reason, paused, since FROM holds WHERE stack = ?`, stack),
		&hold.Spec, &hold.Seq, &hold.Reason, &hold.Paused, (*stamp)(&hold.Since))
	if err != nil {
		return c, err
	}
	if found {
		c.Hold = hold
	}
	found, err = one(tx.QueryRowContext(ctx, `SELECT seq, spec, hold, actor, since FROM pins WHERE stack = ?`, stack),
		&pin.Seq, &pin.Spec, &pin.Hold, &pin.Actor, (*stamp)(&pin.Since))
	if err != nil {
		return c, err
	}
	if found {
		c.Pin = pin
	}
	found, err = one(tx.QueryRowContext(ctx, `SELECT reason, actor, since, until FROM suspensions WHERE stack = ?`, stack),
		&suspension.Reason, &suspension.Actor, (*stamp)(&suspension.Since), (*stamp)(&suspension.Until))
	if err != nil {
		return c, err
	}
	if found {
		c.Suspension = suspension
	}
	c.Stops, err = readStops(ctx, tx, stack)
	return c, err
}

func readStops(ctx context.Context, tx *sql.Tx, stack string) ([]reconcile.Stop, error) {
	rows, err := tx.QueryContext(ctx, `SELECT service, container, seq, actor, since FROM stops WHERE stack = ?
		ORDER BY service, container`, stack)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var stops []reconcile.Stop
	for rows.Next() {
		var s reconcile.Stop
		if err := rows.Scan(&s.Service, &s.Container, &s.Seq, &s.Actor, (*stamp)(&s.Since)); err != nil {
			return nil, err
		}
		stops = append(stops, s)
	}
	return stops, rows.Err()
}

// one scans a row that may not exist.
func one(row *sql.Row, into ...any) (found bool, err error) {
	err = row.Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// SetHold stores a hold; nil removes it.
func (s *Store) SetHold(ctx context.Context, stack string, h *reconcile.Hold) error {
	if h == nil {
		return s.execute(ctx, "end hold of "+stack, `DELETE FROM holds WHERE stack = ?`, stack)
	}
	if h.Since.IsZero() {
		return errors.New("hold " + stack + ": it has no time")
	}
	return s.execute(ctx, "hold "+stack, `INSERT OR REPLACE INTO holds (stack, spec, seq, reason, paused, since)
		VALUES (?,?,?,?,?,?)`, stack, h.Spec, h.Seq, h.Reason, h.Paused, stamp(h.Since))
}

// SetPin stores a pin; nil removes it.
func (s *Store) SetPin(ctx context.Context, stack string, p *reconcile.Pin) error {
	if p == nil {
		return s.execute(ctx, "unpin "+stack, `DELETE FROM pins WHERE stack = ?`, stack)
	}
	if p.Since.IsZero() {
		return errors.New("pin " + stack + ": it has no time")
	}
	return s.execute(ctx, "pin "+stack, `INSERT OR REPLACE INTO pins (stack, seq, spec, hold, actor, since)
		VALUES (?,?,?,?,?,?)`, stack, p.Seq, p.Spec, p.Hold, p.Actor, stamp(p.Since))
}

// SetSuspension stores a suspension; nil removes it.
func (s *Store) SetSuspension(ctx context.Context, stack string, u *reconcile.Suspension) error {
	if u == nil {
		return s.execute(ctx, "resume "+stack, `DELETE FROM suspensions WHERE stack = ?`, stack)
	}
	if u.Since.IsZero() {
		return errors.New("suspend " + stack + ": it has no time")
	}
	return s.execute(ctx, "suspend "+stack, `INSERT OR REPLACE INTO suspensions (stack, reason, actor, since, until)
		VALUES (?,?,?,?,?)`, stack, u.Reason, u.Actor, stamp(u.Since), stamp(u.Until))
}

// SetStops stores all that an operator stopped of a stack, in place of what was
// stored before.
func (s *Store) SetStops(ctx context.Context, stack string, stops []reconcile.Stop) error {
	return s.write(ctx, "note what is stopped of "+stack, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM stops WHERE stack = ?`, stack); err != nil {
			return err
		}
		for _, x := range stops {
			if _, err := tx.ExecContext(ctx, `INSERT INTO stops (stack, service, container, seq, actor, since) VALUES (?,?,?,?,?,?)`,
				stack, x.Service, x.Container, x.Seq, x.Actor, stamp(x.Since)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget ends every decision on a stack that has been removed. Its releases and
// its sequence number stay: a stack that comes back under the name goes on
// counting.
func (s *Store) Forget(ctx context.Context, stack string) error {
	return s.write(ctx, "forget "+stack, func(ctx context.Context, tx *sql.Tx) error {
		for _, table := range []string{"holds", "pins", "suspensions", "stops"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE stack = ?`, stack); err != nil {
				return err
			}
		}
		return nil
	})
}
