package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// journal is a database in miniature: one writer, guarded by a lock in its own
// directory, and a record of who wrote. A second writer leaves a line that says
// so and refuses to start, as PostgreSQL does.
type journal struct {
	identity string
	file     *os.File
	lock     *os.File

	mu     sync.Mutex
	closed bool
}

// openJournal takes DIR/lock and appends to DIR/log.
func openJournal(dir, version string) (*journal, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &journal{identity: version + " " + host, file: log}
	if j.lock, err = os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := syscall.Flock(int(j.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		j.write("conflict")
		return nil, fmt.Errorf("lock journal in %s: another writer runs: %w", dir, err)
	}
	j.write("start")
	return j, nil
}

// tick writes a line ten times a second until the journal is closed.
func (j *journal) tick() {
	for range time.Tick(100 * time.Millisecond) {
		if !j.write("tick") {
			return
		}
	}
}

// write appends one line and reports whether it could.
func (j *journal) write(word string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	_, err := fmt.Fprintf(j.file, "%s %s\n", word, j.identity)
	return err == nil
}

func (j *journal) close() {
	j.write("stop")
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.file.Close()
	j.lock.Close()
}
