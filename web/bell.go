package web

import "sync"

// Bell tells any number of readers that the event log has grown. Ringing it
// never blocks.
type Bell struct {
	mu   sync.Mutex
	next chan struct{}
}

// NewBell returns a bell that has not been rung.
func NewBell() *Bell { return &Bell{next: make(chan struct{})} }

// Ring wakes every reader.
func (b *Bell) Ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.next)
	b.next = make(chan struct{})
}

// Next is closed at the next ring. A reader takes it before it reads the log, so
// that what arrives while it reads is not missed.
func (b *Bell) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.next
}
