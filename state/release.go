package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"davit/reconcile"
)

var (
	// ErrFinished says that a release has ended already.
	ErrFinished = errors.New("release has ended already")
	// ErrNoRelease says that there is no such release.
	ErrNoRelease = errors.New("no such release")
)

// keepJournal is for how many releases of a stack the journal is kept.
const keepJournal = 50

// Begin records the start of r, whatever r.Outcome and r.Finished say, and
// returns it with its sequence number. A zero r.Started becomes now. One that has a
// number goes on: it must be the newest of its stack and have ended without success,
// and its journal begins anew. ErrFinished and ErrNoRelease are the errors to tell
// apart.
func (s *Store) Begin(ctx context.Context, r reconcile.Release) (reconcile.Release, error) {
	what := "begin release of " + r.Stack
	if err := ctx.Err(); err != nil {
		return r, fmt.Errorf("%s: %w", what, err)
	}
	r.Outcome, r.Finished = reconcile.OutcomeRunning, time.Time{}
	if r.Started.IsZero() {
		r.Started = time.Now()
	}
	if r.Seq > 0 {
		return r, s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error { return resume(ctx, tx, r) })
	}
	err := s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) (err error) {
		if r.Seq, err = nextSeq(ctx, tx, r.Stack); err != nil {
			return err
		}
		if err := s.insertRelease(ctx, tx, r); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM journal WHERE stack = ? AND seq <= ?`, r.Stack, r.Seq-keepJournal)
		return err
	})
	return r, err
}

// resume opens the newest release of a stack once more.
func resume(ctx context.Context, tx *sql.Tx, r reconcile.Release) error {
	done, err := tx.ExecContext(ctx, `UPDATE releases SET outcome = '', failure = '', finished = NULL, hash = ?
		WHERE stack = ? AND seq = ? AND outcome IN (?, ?) AND seq = (SELECT max(seq) FROM releases WHERE stack = ?)`,
		r.Hash, r.Stack, r.Seq, reconcile.Interrupted.String(), reconcile.Failed.String(), r.Stack)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, whyNotFinished(ctx, tx, r))
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM journal WHERE stack = ? AND seq = ?`, r.Stack, r.Seq); err != nil {
		return err
	}
	return replaceServices(ctx, tx, r)
}

// nextSeq counts in a row of its own, which outlives every release.
func nextSeq(ctx context.Context, tx *sql.Tx, stack string) (seq int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO stacks (name, last_seq) VALUES (?, 1)
		ON CONFLICT (name) DO UPDATE SET last_seq = last_seq + 1 RETURNING last_seq`, stack).Scan(&seq)
	return seq, err
}

func (s *Store) insertRelease(ctx context.Context, tx *sql.Tx, r reconcile.Release) error {
	var project any
	if r.Project != nil {
		id, sealed, err := s.vault.seal(r.Project)
		if err != nil {
			return err
		}
		// What is there under this id and cannot be opened is replaced.
		if _, err := tx.ExecContext(ctx, `INSERT INTO projects (id, sealed) VALUES (?, ?)
			ON CONFLICT (id) DO UPDATE SET sealed = excluded.sealed`, id, sealed); err != nil {
			return err
		}
		project = id
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO releases (stack, seq, kind, version, revision, commit_id, author,
		subject, spec, hash, project, outcome, reason, failure, triggered_by, actor, restores, rollback_of, started, finished)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		r.Stack, r.Seq, r.Kind.String(), r.Version, r.Revision, r.Commit, r.Author,
		r.Subject, r.Spec, r.Hash, project, r.Outcome.String(), r.Reason, r.Failure, r.Trigger.String(), r.Actor,
		r.Restores, r.RollbackOf, stamp(r.Started), stamp(r.Finished))
	if err != nil {
		return err
	}
	return writeServices(ctx, tx, r)
}

// Finish records how r ended. A release is finished once; ErrFinished and
// ErrNoRelease are the errors to tell apart. What was recorded when r began
// stays, except for Hash, Reason, Restores, RollbackOf, Recovery and, unless nil,
// Services. A zero r.Finished becomes now.
func (s *Store) Finish(ctx context.Context, r reconcile.Release) error {
	what := fmt.Sprintf("finish release #%d of %s", r.Seq, r.Stack)
	if r.Running() {
		return fmt.Errorf("%s: it has no outcome", what)
	}
	if r.Finished.IsZero() {
		r.Finished = time.Now()
	}
	err := s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE releases SET outcome = ?, reason = ?, failure = ?, hash = ?,
			restores = ?, rollback_of = ?, finished = ? WHERE stack = ? AND seq = ? AND outcome = ''`,
			r.Outcome.String(), r.Reason, r.Failure, r.Hash, r.Restores, r.RollbackOf, stamp(r.Finished), r.Stack, r.Seq)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, whyNotFinished(ctx, tx, r))
		}
		if err := writeRecovery(ctx, tx, r); err != nil {
			return err
		}
		if r.Services == nil {
			return nil
		}
		return replaceServices(ctx, tx, r)
	})
	if err == nil && r.Good() {
		s.askForCopy()
	}
	return err
}

func whyNotFinished(ctx context.Context, tx *sql.Tx, r reconcile.Release) error {
	var outcome string
	err := tx.QueryRowContext(ctx, `SELECT outcome FROM releases WHERE stack = ? AND seq = ?`, r.Stack, r.Seq).Scan(&outcome)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNoRelease
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: %s", ErrFinished, outcome)
}

// replaceServices writes what the release runs in place of what was written before.
func replaceServices(ctx context.Context, tx *sql.Tx, r reconcile.Release) error {
	for _, table := range []string{"containers", "services"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE stack = ? AND seq = ?`, r.Stack, r.Seq); err != nil {
			return err
		}
	}
	return writeServices(ctx, tx, r)
}

func writeServices(ctx context.Context, tx *sql.Tx, r reconcile.Release) error {
	for place, s := range r.Services {
		volumes, err := optional(s.Image.Volumes)
		if err != nil {
			return err
		}
		data, err := optional(s.Data)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO services (stack, seq, place, name, spec, image, digest, image_id,
			volumes, healthcheck, completed, outcome, logs, data, platform, resolved, built)
			VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
			r.Stack, r.Seq, place, s.Name, s.Spec, s.Image.Ref, s.Image.Digest, s.Image.ID,
			volumes, s.Image.Healthcheck, s.Completed, s.Outcome, s.Logs, data,
			s.Image.Platform, stamp(s.Image.Resolved), s.Image.Built)
		if err != nil {
			return err
		}
		for failed, ids := range [][]string{s.Containers, s.Failed} {
			for i, id := range ids {
				_, err := tx.ExecContext(ctx, `INSERT INTO containers (stack, seq, service, place, id, failed)
					VALUES (?,?,?,?,?,?)`, r.Stack, r.Seq, place, i, id, failed)
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// optional is a list as JSON, and NULL for a nil one.
func optional[T any](list []T) (any, error) {
	if list == nil {
		return nil, nil
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// Interrupt ends every release that has not ended, as interrupted, and returns
// them, by stack and sequence number. It is for the start of the agent: nothing
// can be running then.
func (s *Store) Interrupt(ctx context.Context) ([]reconcile.Release, error) {
	var interrupted []reconcile.Release
	err := s.write(ctx, "mark interrupted releases", func(ctx context.Context, tx *sql.Tx) error {
		interrupted = nil
		stacks, err := names(ctx, tx, `SELECT DISTINCT stack FROM releases WHERE outcome = '' ORDER BY stack`)
		if err != nil {
			return err
		}
		for _, stack := range stacks {
			list, err := interruptStack(ctx, tx, stack)
			if err != nil {
				return err
			}
			interrupted = append(interrupted, list...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return interrupted, nil
}

func interruptStack(ctx context.Context, tx *sql.Tx, stack string) ([]reconcile.Release, error) {
	releases, err := readReleases(ctx, tx, stack, 0)
	if err != nil {
		return nil, err
	}
	var interrupted []reconcile.Release
	for i := len(releases) - 1; i >= 0; i-- {
		r := releases[i]
		if !r.Running() {
			continue
		}
		r.Outcome, r.Finished = reconcile.Interrupted, time.Now().UTC()
		if r.Failure, err = underWay(ctx, tx, r); err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE releases SET outcome = ?, failure = ?, finished = ? WHERE stack = ? AND seq = ?`,
			r.Outcome.String(), r.Failure, stamp(r.Finished), r.Stack, r.Seq); err != nil {
			return nil, err
		}
		interrupted = append(interrupted, r)
	}
	return interrupted, nil
}

// underWay says in words what the journal has open for r.
func underWay(ctx context.Context, tx *sql.Tx, r reconcile.Release) (string, error) {
	actions, err := names(ctx, tx, `SELECT action FROM journal WHERE stack = ? AND seq = ? AND done IS NULL ORDER BY id`, r.Stack, r.Seq)
	if err != nil {
		return "", err
	}
	if len(actions) == 0 {
		return "the agent ended during it", nil
	}
	return "the agent ended during: " + strings.Join(actions, "; "), nil
}
