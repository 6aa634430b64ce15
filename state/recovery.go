package state

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keepDamaged is how many damaged databases are kept for inspection.
const keepDamaged = 3

// Recovery says what Open had to repair. The zero Recovery says nothing.
type Recovery struct {
	// Damage is what was found wrong.
	Damage string
	// Aside is where the damaged database was moved; "" if there was none left.
	Aside string
	// Snapshot is the copy that was restored; "" when the store started empty.
	Snapshot string
	// Taken is when Snapshot was taken: later history is lost.
	Taken time.Time
}

// Happened reports whether anything had to be repaired.
func (r Recovery) Happened() bool { return r.Damage != "" }

// String is the recovery as a sentence for people.
func (r Recovery) String() string {
	if !r.Happened() {
		return ""
	}
	text := "state database: " + r.Damage
	if r.Aside != "" {
		text += "; moved to " + r.Aside
	}
	if r.Snapshot == "" {
		return text + "; started with an empty one"
	}
	return text + "; restored from " + r.Snapshot + " of " + r.Taken.UTC().Format(time.RFC3339)
}

// load starts the database that is there; if it is damaged, the newest snapshot
// that is whole; failing that, an empty one.
func (d directory) load(ctx context.Context, v *vault) (*Store, Recovery, error) {
	if _, err := os.Lstat(d.database()); errors.Is(err, fs.ErrNotExist) && d.neverUsed() {
		if err := d.create(ctx); err != nil {
			return nil, Recovery{}, err
		}
	}
	s, err := d.start(ctx, v)
	if err == nil || !damaged(err) {
		return s, Recovery{}, err
	}
	recovery := Recovery{Damage: err.Error()}
	if recovery.Aside, err = d.setAside(); err != nil {
		return nil, Recovery{}, err
	}
	s, err = d.restore(ctx, v, &recovery)
	if err != nil {
		return nil, Recovery{}, err
	}
	if err := s.skipEventIDs(ctx); err != nil {
		return nil, Recovery{}, errors.Join(err, s.Reader.Close(), s.writer.Close())
	}
	return s, recovery, nil
}

// neverUsed reports whether d shows no trace of an earlier database.
func (d directory) neverUsed() bool {
	wal, _ := beside(d.database())
	_, err := os.Lstat(wal)
	return errors.Is(err, fs.ErrNotExist) && len(d.listSnapshots()) == 0
}

// create makes an empty database. It gets its name when it is whole: SQLite's
// own first steps are not safe against a power cut.
func (d directory) create(ctx context.Context) error {
	f, err := os.OpenFile(d.fresh(), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := connectWriter(d.fresh())
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, application))
	if err == nil {
		err = released().climb(ctx, db, 0)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return publish(d.fresh(), d.database())
}

// checkHeader looks at the file before SQLite does, which takes an empty file
// for an empty database and an odd format number for a read-only one.
func (d directory) checkHeader() error {
	f, err := os.Open(d.database())
	if errors.Is(err, fs.ErrNotExist) {
		return &damage{errors.New("it is missing")}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	header := make([]byte, 100)
	switch _, err := io.ReadFull(f, header); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &damage{errors.New("it is cut short")}
	case errors.Is(err, unix.EIO):
		return &damage{err}
	case err != nil:
		return err
	case !bytes.HasPrefix(header, []byte("SQLite format 3\x00")):
		return &damage{errors.New("it is not a database")}
	case header[18] < 1 || header[18] > 2 || header[19] < 1 || header[19] > 2:
		return &damage{fmt.Errorf("its file format is %d/%d", header[18], header[19])}
	}
	return nil
}

// setAside moves the database away together with its log: the log of one
// database must never be replayed onto another. The database goes first, so that
// a crash in between is seen as a missing database.
func (d directory) setAside() (string, error) {
	to := d.database() + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	wal, shm := beside(d.database())
	toWAL, toSHM := beside(to)
	moved := ""
	for _, m := range [][2]string{{d.database(), to}, {wal, toWAL}, {shm, toSHM}} {
		err := os.Rename(m[0], m[1])
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set damaged database aside: %w", err)
		}
		if err == nil && moved == "" {
			moved = m[1]
		}
	}
	return moved, syncPath(string(d))
}

// restore starts the newest snapshot that is whole, else an empty database.
func (d directory) restore(ctx context.Context, v *vault, r *Recovery) (*Store, error) {
	wal, shm := beside(d.database())
	for _, snapshot := range slices.Backward(d.listSnapshots()) {
		info, err := os.Stat(snapshot)
		if err != nil {
			return nil, err
		}
		if err := copyFile(snapshot, d.fresh()); err != nil {
			return nil, fmt.Errorf("restore snapshot: %w", err)
		}
		if err := publish(d.fresh(), d.database()); err != nil {
			return nil, fmt.Errorf("restore snapshot: %w", err)
		}
		s, err := d.start(ctx, v)
		if err == nil {
			r.Snapshot, r.Taken = snapshot, info.ModTime()
			return s, nil
		}
		if !damaged(err) {
			return nil, fmt.Errorf("restore snapshot %s: %w", snapshot, err)
		}
		if err := removeAll(d.database(), wal, shm, snapshot); err != nil {
			return nil, err
		}
	}
	if err := d.create(ctx); err != nil {
		return nil, err
	}
	return d.start(ctx, v)
}

// readEverything reads each row once by the very code that will read it later,
// so that what SQLite cannot know to be wrong is found now and not in a rollout.
func (s *Store) readEverything(ctx context.Context) error {
	err := s.view(ctx, "check", func(ctx context.Context, tx *sql.Tx) error {
		stacks, err := names(ctx, tx, `SELECT stack FROM releases
			UNION SELECT stack FROM holds UNION SELECT stack FROM pins UNION SELECT stack FROM suspensions
			UNION SELECT stack FROM stops`)
		if err != nil {
			return err
		}
		for _, stack := range stacks {
			if _, err := readReleases(ctx, tx, stack, 0); err != nil {
				return err
			}
			if _, err := readControls(ctx, tx, stack); err != nil {
				return err
			}
		}
		if _, err := readDeliveries(ctx, tx, `status = 'pending'`); err != nil {
			return err
		}
		_, err = readEvents(ctx, tx, `SELECT `+eventColumns+` FROM events`)
		return err
	})
	switch {
	case err == nil:
		return nil
	case code(err) == 0, code(err) == 1: // no fault of the engine's; or a table is gone
		return &damage{err}
	}
	return asDamage(err)
}

// skipEventIDs makes sure that no id is given twice, although nobody knows which
// ones were given since the snapshot. Events are rarer than one a second, so the
// clock is ahead of them.
func (s *Store) skipEventIDs(ctx context.Context) error {
	return s.write(ctx, "skip event ids", func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now().Unix()
		done, err := tx.ExecContext(ctx, `UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'events'`, now)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n > 0 {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO sqlite_sequence (name, seq) VALUES ('events', ?)`, now)
		return err
	})
}

// tidy removes what an earlier process left half-made. It needs the lock.
func (d directory) tidy() error {
	wal, shm := beside(d.fresh())
	if err := removeAll(d.fresh(), d.fresh()+"-journal", wal, shm); err != nil {
		return err
	}
	half, err := filepath.Glob(filepath.Join(globLiteral(d.snapshots()), "*.tmp*"))
	if err != nil {
		return err
	}
	if err := removeAll(half...); err != nil {
		return err
	}
	return d.forgetDamaged()
}

// forgetDamaged keeps a dying disk from filling itself with damaged databases.
func (d directory) forgetDamaged() error {
	aside, err := filepath.Glob(globLiteral(d.database()) + ".corrupt-*")
	if err != nil {
		return err
	}
	var databases []string
	for _, p := range aside {
		databases = append(databases, strings.TrimSuffix(strings.TrimSuffix(p, "-wal"), "-shm"))
	}
	slices.Sort(databases)
	databases = slices.Compact(databases)
	for len(databases) > keepDamaged {
		wal, shm := beside(databases[0])
		if err := removeAll(databases[0], wal, shm); err != nil {
			return err
		}
		databases = databases[1:]
	}
	return nil
}

// globLiteral escapes what filepath.Glob would take for a pattern.
func globLiteral(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
