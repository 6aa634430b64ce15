package state

import (
	"context"
	"database/sql"
)

// Remember keeps a value under a key for the next start, such as the revision
// that was fetched last. Secrets do not belong here.
func (s *Store) Remember(ctx context.Context, key, value string) error {
	return s.execute(ctx, "remember "+key, `INSERT OR REPLACE INTO memory (key, value) VALUES (?, ?)`, key, value)
}

// Recall returns the value that was kept under the key.
func (r *Reader) Recall(ctx context.Context, key string) (value string, found bool, err error) {
	err = r.view(ctx, "recall "+key, func(ctx context.Context, tx *sql.Tx) (err error) {
		found, err = one(tx.QueryRowContext(ctx, `SELECT value FROM memory WHERE key = ?`, key), &value)
		return err
	})
	return value, found, err
}
