package state

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"davit/reconcile"
)

// The migrations are numbered from 1 without a gap; number n leads from schema
// n-1 to schema n. One that has been in a release is never edited.
//
//go:embed migrations/*.sql
var migrations embed.FS

// ladder is the way from one schema to the next, up to top.
type ladder struct {
	scripts fs.FS
	top     int
}

func released() ladder { return ladder{scripts: migrations, top: schema} }

// schema is the version that this binary reads and writes.
const schema = 2

// absurd is a version that no binary will ever have written.
const absurd = 10_000

// ErrNewerSchema says that a newer davit has written the database.
var ErrNewerSchema = errors.New("database has a newer schema")

// position is the schema of the database, which is at least 1.
func (l ladder) position(ctx context.Context, db *sql.DB) (int, error) {
	var v int
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&v); err != nil {
		return 0, asDamage(err)
	}
	switch {
	case v <= 0, v >= absurd:
		return 0, &damage{fmt.Errorf("schema version is %d", v)}
	case v > l.top:
		return 0, reconcile.WithHint(fmt.Errorf("%w: %d, this davit knows %d", ErrNewerSchema, v, l.top),
			"run the davit that wrote it, or a newer one; to go back for good, restore a backup made before the upgrade")
	}
	return v, nil
}

// climb brings the database from version to the top, one transaction for each
// step.
func (l ladder) climb(ctx context.Context, db *sql.DB, version int) error {
	for v := version + 1; v <= l.top; v++ {
		script, err := fs.ReadFile(l.scripts, fmt.Sprintf("migrations/%d.sql", v))
		if err != nil {
			return err
		}
		if err := migrate(ctx, db, v, string(script)); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", v, asDamage(err))
		}
	}
	return nil
}

func migrate(ctx context.Context, db *sql.DB, version int, script string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, script); err != nil {
		return err
	}
	// The version is part of the same transaction: a migration that was cut
	// short has not happened.
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version)); err != nil {
		return err
	}
	return tx.Commit()
}
