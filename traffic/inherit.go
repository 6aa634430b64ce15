package traffic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"davit/traffic/socket"
)

// Inheritance is what an edge has from the one that it takes the place of.
type Inheritance struct {
	Sockets Sockets
	Lock    *Lock
	baton   baton
}

// When says when a successor takes over.
type When int

const (
	// AtOnce is now; AtTheEnd when the predecessor is told to end.
	AtOnce When = iota
	AtTheEnd
)

func (w When) String() string { return [...]string{"now", "end"}[w] }

// TakeOver asks the edge that serves dir for its ports. Its error is ErrNoEdge when
// there is none, or, with AtTheEnd, when it ended without handing over. An edge that
// is not told that its successor serves serves on.
func TakeOver(ctx context.Context, dir string, when When) (*Inheritance, error) {
	c := NewClient(socketIn(dir))
	defer c.Close()
	api, err := c.version(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := socket.Dial(ctx, c.path)
	if err != nil {
		return nil, c.unreached(err)
	}
	i := &Inheritance{Sockets: Sockets{}, baton: baton{conn}}
	stop := i.baton.untilDone(ctx)
	defer stop()
	if err = ask(conn, api, when); err == nil {
		err = i.receive()
	}
	if err != nil {
		i.Abandon()
		return nil, fmt.Errorf("take over: %w", errors.Join(err, ctx.Err()))
	}
	return i, nil
}

// ask has the connection upgraded.
func ask(conn net.Conn, api int, when When) error {
	patience := time.Time{} // the predecessor may serve for years
	if when == AtOnce {
		patience = time.Now().Add(adminPatience)
	}
	if err := conn.SetDeadline(patience); err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, fmt.Sprintf("http://edge/v%d/takeover?when=%s", api, when), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", batonProtocol)
	if err := req.Write(conn); err != nil {
		return err
	}
	// Nothing comes after the answer's head before the successor has spoken, so the
	// reader has nothing left in it.
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return fmt.Errorf("%w: it ended: %w", ErrNoEdge, err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return nil
	}
	defer resp.Body.Close()
	return refusal(resp)
}

// receive takes the ports and the lock.
func (i *Inheritance) receive() error {
	for {
		if err := i.baton.say(word{Ready: true}); err != nil {
			return err
		}
		w, files, err := i.baton.hear(batonPatience)
		if err != nil {
			return err
		}
		if err := i.take(w, files); err != nil || w.Last {
			return err
		}
	}
}

// take keeps the files that came with a line.
func (i *Inheritance) take(w word, files []*os.File) error {
	wanted := len(w.Keys)
	if w.Lock {
		wanted++
	}
	if len(files) != wanted {
		closeAll(files)
		return fmt.Errorf("%d files came where %d were announced; is there room for more of them?", len(files), wanted)
	}
	for at, key := range w.Keys {
		i.Sockets[key] = files[at]
	}
	if w.Lock {
		i.Lock = &Lock{files[len(w.Keys)]}
	}
	if w.Last && i.Lock == nil {
		return errors.New("the lock did not come")
	}
	return nil
}

// Serving tells the predecessor, if there is one, that its ports are served, and waits
// until it has retired. An error means that it may serve on.
func (i *Inheritance) Serving() error {
	if i.baton.conn == nil {
		return nil
	}
	defer i.baton.conn.Close()
	if err := i.baton.say(word{Serving: true}); err != nil {
		return fmt.Errorf("tell the predecessor that it is succeeded: %w", err)
	}
	// An answer that does not come changes nothing: the predecessor reads the word
	// before anything else, or is dead.
	_ = i.baton.expect("the predecessor has retired", batonPatience, func(w word) bool { return w.Retired })
	return nil
}

// Succeeds reports whether there was an edge to take over from.
func (i *Inheritance) Succeeds() bool { return i.baton.conn != nil }

// Abandon leaves everything to the predecessor.
func (i *Inheritance) Abandon() {
	i.Sockets.Close()
	if i.Lock != nil {
		i.Lock.Release()
	}
	if i.baton.conn != nil {
		i.baton.conn.Close()
	}
}
