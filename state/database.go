package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"modernc.org/sqlite" // registers the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	databaseName = "state.db"
	// application marks the file as ours: "davt" in ASCII.
	application = 0x64617674
	// busyMillis is how long a statement waits for somebody's `sqlite3` that
	// holds the database locked.
	busyMillis = "busy_timeout(5000)"
)

var _ error = (*sqlite.Error)(nil)

// connect opens the database at path. The address is a URI, in which a path
// with a question mark or a space would otherwise mean something else.
func connect(path string, parameters url.Values) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	parameters.Add("_pragma", busyMillis)
	u := url.URL{Scheme: "file", Path: abs, RawQuery: parameters.Encode()}
	return sql.Open("sqlite", u.String())
}

// connectWriter opens the one connection that writes. FULL makes a commit wait
// for the disk: what was answered survives a power cut.
func connectWriter(path string) (*sql.DB, error) {
	db, err := connect(path, url.Values{
		"mode":    {"rw"}, // never create a database in passing
		"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-1000)", "journal_size_limit(4194304)"},
	})
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// connectReaders opens the connections that read while the writer writes.
func connectReaders(path string) (*sql.DB, error) {
	db, err := connect(path, url.Values{
		"mode":    {"rw"},
		"_pragma": {"query_only(1)", "cache_size(-1000)"},
	})
	if err == nil {
		db.SetMaxOpenConns(4)
		db.SetMaxIdleConns(1)
	}
	return db, err
}

// damage is the finding that a database cannot be used as it is.
type damage struct{ err error }

func (d *damage) Error() string { return d.err.Error() }
func (d *damage) Unwrap() error { return d.err }

func damaged(err error) bool {
	var d *damage
	return errors.As(err, &d)
}

// asDamage marks err as damage when SQLite says that the file is broken, or that
// the disk no longer gives it back: a bad sector does not heal by a restart.
func asDamage(err error) error {
	switch code(err) & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT:
		return &damage{err}
	}
	switch code(err) {
	case sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_DATA, sqlite3.SQLITE_IOERR_CORRUPTFS:
		return &damage{err}
	}
	return err
}

// quickCheck lets SQLite look through every page.
func quickCheck(ctx context.Context, db *sql.DB) error {
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict); err != nil {
		return asDamage(err)
	}
	if verdict != "ok" {
		return &damage{errors.New(verdict)}
	}
	var id int
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&id); err != nil {
		return asDamage(err)
	}
	if id != application {
		return &damage{fmt.Errorf("application id is %#x, not davit's", id)}
	}
	return nil
}
