package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"davit/reconcile"
)

var (
	_ reconcile.History   = (*Store)(nil)
	_ reconcile.Decisions = (*Store)(nil)
	_ reconcile.Journal   = (*Store)(nil)
)

// writeTimeout bounds one transaction, waiting for the writer included.
const writeTimeout = 30 * time.Second

// Options says which data directory to open. Both fields are required.
type Options struct {
	// Dir is the data directory. It is made if it does not exist.
	Dir    string
	Logger *slog.Logger
}

// Store is the agent's memory. It holds the data directory's lock from Open to
// Close. All methods may be called at the same time.
//
// What has already happened is recorded even when the caller's context has been
// cancelled: a rollout that is called off must still be able to say how it ended.
// Only Begin and Intend, which permit something that has not happened yet, refuse.
type Store struct {
	*Reader
	writer *sql.DB
	lock   *os.File
	log    *slog.Logger

	// After a good release a copy is due; keepCopies makes it.
	copyDue chan struct{}
	copying sync.Mutex
	stop    chan struct{}
	stopped chan struct{}

	closing sync.Once
	closed  error
}

// Open locks the data directory and opens its database, which is made, migrated
// or recovered as needed. Recovery says what had to be done; see its Happened.
//
// The errors to tell apart are ErrInUse, ErrNewerSchema and
// reconcile.ErrDiskFull. A damaged database is not an error.
func Open(o Options) (*Store, Recovery, error) {
	s, recovery, err := open(o)
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("open state in %s: %w", o.Dir, diskFull(o.Dir, err))
	}
	return s, recovery, nil
}

func open(o Options) (_ *Store, _ Recovery, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, Recovery{}, err
	}
	lock, err := acquire(o.Dir)
	if err != nil {
		return nil, Recovery{}, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	key, err := HostKey(o.Dir)
	if err != nil {
		return nil, Recovery{}, err
	}
	v, err := newVault(key)
	if err != nil {
		return nil, Recovery{}, err
	}
	d := directory(o.Dir)
	if err := d.tidy(); err != nil {
		return nil, Recovery{}, err
	}
	s, recovery, err := d.load(context.Background(), v)
	if err != nil {
		return nil, Recovery{}, err
	}
	s.lock, s.log = lock, o.Logger
	go s.keepCopies()
	return s, recovery, nil
}

// start opens the database that is in d and proves that it can be used. A damage
// is returned as such.
func (d directory) start(ctx context.Context, v *vault) (_ *Store, err error) {
	if err := d.checkHeader(); err != nil {
		return nil, err
	}
	writer, err := connectWriter(d.database())
	if err != nil {
		return nil, err
	}
	readers, err := connectReaders(d.database())
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, readers.Close(), writer.Close())
		}
	}()
	if err := d.makeCurrent(ctx, writer, released()); err != nil {
		return nil, err
	}
	s := &Store{
		Reader:  &Reader{db: readers, vault: v, dir: string(d)},
		writer:  writer,
		copyDue: make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if err := s.readEverything(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// makeCurrent checks the database and migrates it, after a snapshot.
func (d directory) makeCurrent(ctx context.Context, db *sql.DB, l ladder) error {
	if err := quickCheck(ctx, db); err != nil {
		return err
	}
	version, err := l.position(ctx, db)
	if err != nil || version == l.top {
		return err
	}
	if _, err := d.snapshot(ctx); err != nil {
		return fmt.Errorf("before migrating from schema %d: %w", version, err)
	}
	return l.climb(ctx, db, version)
}

// Close waits for what is being written, takes the copy that is still due and
// lets go of the lock. Closing again does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.stop)
		<-s.stopped
		// The writer goes last: the last connection folds the log into the file.
		s.closed = errors.Join(s.Reader.Close(), s.writer.Close(), s.lock.Close())
	})
	return s.closed
}

// write runs fn in one transaction. what names operation and object.
func (s *Store) write(ctx context.Context, what string, fn func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	if err := s.transact(ctx, fn); err != nil {
		return fmt.Errorf("%s: %w", what, diskFull(s.dir, err))
	}
	return nil
}

func (s *Store) transact(ctx context.Context, fn func(context.Context, *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := fn(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// execute runs one statement in a transaction of its own.
func (s *Store) execute(ctx context.Context, what, statement string, args ...any) error {
	return s.write(ctx, what, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, args...)
		return err
	})
}

// directory is a data directory.
type directory string

func (d directory) database() string       { return filepath.Join(string(d), databaseName) }
func (d directory) fresh() string          { return filepath.Join(string(d), "state.db.new") }
func (d directory) snapshots() string      { return filepath.Join(string(d), "snapshots") }
func beside(path string) (wal, shm string) { return path + "-wal", path + "-shm" }
