package engine

import (
	"context"
	"errors"
	"sync"
)

// doubts holds stops that nobody here asked for until it is clear that they are a
// person's doing. An engine that shuts down stops every container and may report
// each one as it would a person's stop; but by then it takes no new connection.
type doubts struct {
	engine   *Engine
	answered chan struct{}
	group    sync.WaitGroup

	mu     sync.Mutex
	held   []Change // to be asked about
	sure   []Change
	asking bool
}

func newDoubts(e *Engine) *doubts {
	return &doubts{engine: e, answered: make(chan struct{}, 1)}
}

// add holds c, and asks the engine over a new connection whether it is there to
// stay. The stream's end, should it come first, ends ctx and the doubt with it.
func (d *doubts) add(ctx context.Context, c Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.ByHand = true
	d.held = append(d.held, c)
	if !d.asking {
		d.asking = true
		d.group.Go(func() { d.ask(ctx) })
	}
}

// ask goes on until nothing is held. An answer counts only for what was held when
// the question was put.
func (d *doubts) ask(ctx context.Context) {
	for {
		d.mu.Lock()
		batch := d.held
		d.held = nil
		d.asking = len(batch) > 0
		d.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		if d.engine.answersAnew(ctx) != nil {
			continue
		}
		d.mu.Lock()
		d.sure = append(d.sure, batch...)
		d.mu.Unlock()
		select {
		case d.answered <- struct{}{}:
		default:
		}
	}
}

// confirmed takes what became clear.
func (d *doubts) confirmed() []Change {
	d.mu.Lock()
	defer d.mu.Unlock()
	sure := d.sure
	d.sure = nil
	return sure
}

func (d *doubts) wait() { d.group.Wait() }

// answersAnew pings over a connection of its own.
func (e *Engine) answersAnew(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	c, err := e.dial()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	_, err = c.Ping(ctx)
	return err
}
