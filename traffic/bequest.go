package traffic

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// takeover hands this edge's ports to a successor: at once, or with ?when=end once
// this edge is to end. The successor and this edge both accept for a moment, out of one
// queue, so that no client is refused; then this edge has only what it accepted.
func (a *Admin) takeover(w http.ResponseWriter, r *http.Request) {
	a.bequests.Add(1)
	defer a.bequests.Done()
	a.heirs.Add(1)
	defer a.heirs.Add(-1)
	if r.URL.Query().Get("when") == "end" {
		select {
		case <-a.ending:
		case <-a.handed:
		case <-r.Context().Done():
			return
		}
	}
	if err := a.begin(r.Context()); err != nil {
		refuse(w, err)
		return
	}
	defer a.finish()
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, fmt.Errorf("hand over: %w", err))
		return
	}
	defer conn.Close()
	if err := a.bequeath(conn); err != nil {
		a.Logger.Error("handing over failed; this edge serves on", "error", err)
	}
}

// bequeath carries one succession out. Its caller has the turn, so that the table on
// disk stays as it is.
func (a *Admin) bequeath(conn net.Conn) error {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("the successor does not come by a unix socket")
	}
	if err := conn.SetDeadline(time.Now().Add(batonPatience)); err != nil {
		return err
	}
	_, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+batonProtocol+"\r\n\r\n")
	if err != nil {
		return err
	}
	b := baton{unixConn}
	if err := a.handSockets(b); err != nil {
		return err
	}
	if err := b.expect("the successor serves", servingPatience, func(w word) bool { return w.Serving }); err != nil {
		return err
	}
	// From here on there is no way back: the successor writes the table now, and takes the
	// name of the admin socket.
	a.listener.Leave()
	if err := a.becomeElder(); err != nil {
		a.Logger.Error("the successor cannot steer what this edge still has to do", "error", err)
	}
	a.handOnce.Do(func() { close(a.handed) })
	a.Edge.Retire()
	a.Lock.Release()
	a.Logger.Info("handed over to a successor; ending what is under way")
	if err := b.say(word{Retired: true}); err != nil {
		a.Logger.Warn("the successor did not hear that this edge has retired", "error", err)
	}
	return nil
}

// handSockets sends the ports and the lock.
func (a *Admin) handSockets(b baton) error {
	sockets, err := a.Edge.Sockets()
	if err != nil {
		return fmt.Errorf("duplicate the open ports: %w", err)
	}
	defer sockets.Close()
	ready := func(w word) bool { return w.Ready }
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(sockets)), filesAtOnce) {
		if err := b.expect("the successor is ready", batonPatience, ready); err != nil {
			return err
		}
		var files []*os.File
		for _, k := range keys {
			files = append(files, sockets[k])
		}
		if err := b.say(word{Keys: keys}, files...); err != nil {
			return fmt.Errorf("send %d ports: %w", len(keys), err)
		}
	}
	if err := b.expect("the successor is ready", batonPatience, ready); err != nil {
		return err
	}
	if err := b.say(word{Lock: true, Last: true}, a.Lock.file); err != nil {
		return fmt.Errorf("send the lock: %w", err)
	}
	return nil
}

// becomeElder gives the admin socket a second name, by which the successor finds it
// once the first is its own.
func (a *Admin) becomeElder() error {
	elder := filepath.Join(a.Dir, "elder-"+rand.Text()+".sock")
	if err := a.listener.Link(elder); err != nil {
		return err
	}
	a.elder = elder
	return nil
}

// End hands over to a successor that waits for this edge to end, if there is one, and
// reports whether a successor serves. One that takes over just now is waited for.
func (a *Admin) End(ctx context.Context) bool {
	a.endOnce.Do(func() { close(a.ending) })
	for a.heirs.Load() > 0 && !a.over() {
		select {
		case <-ctx.Done():
			return a.over()
		case <-a.handed:
		case <-time.After(10 * time.Millisecond): // an heir may have left
		}
	}
	return a.over()
}
