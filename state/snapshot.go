package state

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	keepSnapshots = 3
	// copyEvery keeps many good releases in a row, such as the first deploy of
	// fifty stacks, from making fifty copies.
	copyEvery   = 10 * time.Second
	copyTimeout = 2 * time.Minute
)

// Snapshot copies the database, whole and consistent, and keeps the newest three
// copies. It returns the copy's path.
func (s *Store) Snapshot(ctx context.Context) (string, error) {
	s.copying.Lock() // or two would take the same number
	defer s.copying.Unlock()
	return directory(s.dir).snapshot(ctx)
}

func (d directory) snapshot(ctx context.Context) (string, error) {
	path, err := d.copyDatabase(ctx)
	if err != nil {
		return "", fmt.Errorf("take snapshot: %w", diskFull(string(d), err))
	}
	list := d.listSnapshots()
	if err := removeAll(list[:max(0, len(list)-keepSnapshots)]...); err != nil {
		return "", err
	}
	return path, nil
}

func (d directory) copyDatabase(ctx context.Context) (string, error) {
	if err := os.MkdirAll(d.snapshots(), 0o700); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(d.snapshots(), "copy.tmp-*") // mode 0600, which SQLite keeps
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Close(); err != nil {
		return "", err
	}
	db, err := connect(d.database(), url.Values{"mode": {"rw"}})
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, tmp.Name()); err != nil {
		return "", err
	}
	path := d.nextSnapshot()
	return path, publish(tmp.Name(), path)
}

// listSnapshots is oldest first.
func (d directory) listSnapshots() []string {
	// The only error of Glob is a malformed pattern.
	list, _ := filepath.Glob(filepath.Join(globLiteral(d.snapshots()), "state-*.db"))
	slices.Sort(list)
	return list
}

// nextSnapshot numbers snapshots instead of dating them: the newest stays the
// newest when the clock is set back.
func (d directory) nextSnapshot() string {
	n := 0
	if list := d.listSnapshots(); len(list) > 0 {
		// A file that is not named by a number counts as 0.
		_, _ = fmt.Sscanf(filepath.Base(list[len(list)-1]), "state-%d.db", &n)
	}
	return filepath.Join(d.snapshots(), fmt.Sprintf("state-%09d.db", n+1))
}

// askForCopy never waits: a copy that is due already covers this request.
func (s *Store) askForCopy() {
	select {
	case s.copyDue <- struct{}{}:
	default:
	}
}

// keepCopies takes the copies that were asked for, until Close.
func (s *Store) keepCopies() {
	defer close(s.stopped)
	for {
		select {
		case <-s.copyDue:
			s.copyNow()
		case <-s.stop:
			select {
			case <-s.copyDue:
				s.copyNow()
			default:
			}
			return
		}
		select {
		case <-time.After(copyEvery):
		case <-s.stop:
		}
	}
}

func (s *Store) copyNow() {
	ctx, cancel := context.WithTimeout(context.Background(), copyTimeout)
	defer cancel()
	if _, err := s.Snapshot(ctx); err != nil {
		s.log.Warn("state was not copied", "error", err)
	}
}
