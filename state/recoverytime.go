package state

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"davit/reconcile"
)

// Few releases have a recovery time: it stands in the memory, under a key of the release,
// and is written and read with it.
func recoveryKey(stack string, seq int64) string { return fmt.Sprintf("recovery/%s/%d", stack, seq) }

// writeRecovery stores r.Recovery, if r has one.
func writeRecovery(ctx context.Context, tx *sql.Tx, r reconcile.Release) error {
	if r.Recovery == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO memory (key, value) VALUES (?, ?)`,
		recoveryKey(r.Stack, r.Seq), strconv.FormatInt(int64(r.Recovery), 10))
	return err
}

// readRecoveries fills in the recovery times of releases, which are of one stack.
func readRecoveries(ctx context.Context, tx *sql.Tx, releases []reconcile.Release) error {
	taken := map[string]time.Duration{}
	prefix := "recovery/" + releases[0].Stack
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var key string
		var took int64
		err := rows.Scan(&key, &took)
		taken[key] = time.Duration(took)
		return err
	}, `SELECT key, value FROM memory WHERE key > ? AND key < ?`, prefix+"/", prefix+"0") // which follows the slash
	if err != nil {
		return err
	}
	for i, r := range releases {
		releases[i].Recovery = taken[recoveryKey(r.Stack, r.Seq)]
	}
	return nil
}
