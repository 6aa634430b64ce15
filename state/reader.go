package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"davit/reconcile"
)

// Reader reads the state. It needs no lock and may be used at any time, whether
// an agent runs or not.
type Reader struct {
	db    *sql.DB
	vault *vault // nil when the host key cannot be read
	dir   string
}

// OpenReadOnly opens the database in dir for reading and creates no file. Who
// may not read the host key sees everything except Release.Project.
func OpenReadOnly(dir string) (*Reader, error) {
	r, err := openReadOnly(directory(dir))
	for patience := time.Now().Add(openPatience); inMotion(err) && time.Now().Before(patience); {
		time.Sleep(openPause)
		r, err = openReadOnly(directory(dir))
	}
	if err != nil {
		return nil, fmt.Errorf("read state in %s: %w", dir, err)
	}
	return r, nil
}

// An agent that starts or ends makes or removes the log between two looks at it.
// It is soon done; a database that really cannot be opened costs this much delay.
const (
	openPatience = 2 * time.Second
	openPause    = 20 * time.Millisecond
)

var errNoIndex = errors.New("the database's log has no index")

func inMotion(err error) bool {
	switch code(err) & 0xff {
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY:
		return true
	}
	return errors.Is(err, errNoIndex)
}

func openReadOnly(d directory) (*Reader, error) {
	if _, err := os.Stat(d.database()); errors.Is(err, fs.ErrNotExist) {
		return nil, reconcile.WithHint(errors.New("there is no database"),
			"no agent has run with this data directory yet; name the right one with --data")
	} else if err != nil {
		return nil, err
	}
	parameters, err := d.access()
	if err != nil {
		return nil, err
	}
	v, err := d.existingVault()
	if err != nil {
		return nil, err
	}
	db, err := connect(d.database(), parameters)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if err := readable(db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &Reader{db: db, vault: v, dir: string(d)}, nil
}

// access chooses how to open the database without creating anything. With a log
// beside it the database is in use, or was when its agent was killed; its index
// is then used, and put right if the agent died while writing there. (An index
// opened for reading only cannot be put right: some killed agents would leave a
// database that nobody can read.) Without a log the file is complete, and only
// the promise that nobody writes keeps SQLite from making a log. An empty log
// without an index is none: SQLite leaves one when the agent ends just as a
// reader begins.
func (d directory) access() (url.Values, error) {
	wal, shm := beside(d.database())
	log, err := sizeOf(wal)
	if err != nil {
		return nil, err
	}
	index, err := sizeOf(shm)
	switch {
	case err != nil:
		return nil, err
	case log <= 0 && index < 0:
		return url.Values{"mode": {"ro"}, "immutable": {"1"}}, nil
	case index < 0:
		return nil, reconcile.WithHint(fmt.Errorf("%w, %s", errNoIndex, shm),
			"it is an incomplete copy; the agent makes a new index when it starts next")
	}
	return url.Values{"mode": {"ro"}}, nil
}

// sizeOf is in bytes; -1 means that there is no such file.
func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (d directory) existingVault() (*vault, error) {
	path := filepath.Join(string(d), "host.key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	key, err := parseKey(path, text)
	if err != nil {
		return nil, err
	}
	return newVault(key)
}

// readable proves that the database can be read and has the current schema.
func readable(db *sql.DB) error {
	version, err := released().position(context.Background(), db)
	if damaged(err) {
		return reconcile.WithHint(fmt.Errorf("database is damaged: %w", err),
			"the agent repairs it when it starts next")
	}
	if err == nil && version < schema {
		return reconcile.WithHint(fmt.Errorf("database has schema %d, this davit knows %d", version, schema),
			"the agent migrates it when it starts next")
	}
	return err
}

// Close ends all reading.
func (r *Reader) Close() error { return r.db.Close() }

// view runs fn on one consistent view of the database. what names operation and
// object.
func (r *Reader) view(ctx context.Context, what string, fn func(context.Context, *sql.Tx) error) error {
	tx, err := r.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer tx.Rollback()
	if err := fn(ctx, tx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// each calls scan for every row of the query.
func each(ctx context.Context, tx *sql.Tx, scan func(*sql.Rows) error, query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// names is the first column of the query.
func names(ctx context.Context, tx *sql.Tx, query string, args ...any) ([]string, error) {
	var list []string
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		list = append(list, name)
		return err
	}, query, args...)
	return list, err
}
