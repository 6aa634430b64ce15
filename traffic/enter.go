package traffic

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"davit/reconcile"
	"davit/traffic/socket"
)

// Entry says what an edge does about another one that serves its directory: nothing,
// which is an error, or take over from it, now or when it ends.
type Entry int

const (
	Alone Entry = iota
	TakingOver
	Waiting
)

func (e Entry) String() string { return [...]string{"alone", "taking over", "waiting"}[e] }

// askAgain is the pause before an edge that does not answer is asked again: it has the
// directory, and starts, or ends.
const askAgain = 50 * time.Millisecond

// Enter takes the right to serve dir: of nobody, or of the edge that has it.
func Enter(ctx context.Context, dir string, how Entry) (*Inheritance, error) {
	for began := time.Now(); ; {
		lock, err := Acquire(dir)
		if err == nil {
			return &Inheritance{Lock: lock}, nil
		}
		if !errors.Is(err, ErrInUse) {
			return nil, err
		}
		var i *Inheritance
		switch how {
		case Alone:
			return nil, inUse(ctx, dir, err)
		case TakingOver:
			i, err = TakeOver(ctx, dir, AtOnce)
		case Waiting:
			i, err = TakeOver(ctx, dir, AtTheEnd)
		}
		switch {
		case err == nil:
			return i, nil
		case !passing(err), how == TakingOver && time.Since(began) > batonPatience:
			return nil, err
		case !pause(ctx, askAgain):
			return nil, ctx.Err()
		}
	}
}

// passing reports whether an edge that did not hand over may do so soon, or ends: one that
// was told to end just before it was asked answers still, and hands nothing over any more.
func passing(err error) bool {
	return errors.Is(err, ErrNoEdge) || errors.Is(err, errHandedOver) || errors.Is(err, errOtherGone)
}

// inUse says who has the directory.
func inUse(ctx context.Context, dir string, err error) error {
	c := NewClient(socketIn(dir))
	defer c.Close()
	who := "which does not answer"
	if v, err := c.Versions(ctx); err == nil {
		who = v.String()
	}
	return reconcile.WithHint(fmt.Errorf("%w: %s", err, who), "take its place with `davit edge --takeover`, or give this one a directory of its own with --data")
}

// Listen opens the admin socket of dir. Its caller has the lock; an edge that answers
// there all the same is one that hands over, whose successor was killed.
func Listen(ctx context.Context, dir string) (*socket.Listener, error) {
	path := socketIn(dir)
	l, err := socket.Listen(ctx, path)
	if !errors.Is(err, socket.ErrTaken) {
		return l, err
	}
	c := NewClient(path)
	defer c.Close()
	if _, foreign := c.Versions(ctx); foreign != nil {
		return nil, fmt.Errorf("%w: %w", err, foreign)
	}
	return socket.Replace(ctx, path)
}

// Left reports whether an edge has served dir: there is a table.
func Left(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, tableFile))
	return err == nil
}
