package traffic

import (
	"sync/atomic"
	"syscall"
	"time"
)

// vigil watches a client that waits for a slow answer: when the client goes away, so
// does the request. As with other proxies, one that will send no more counts as gone:
// a connection that was closed and one of which only half was look the same.
type vigil struct {
	done chan struct{}
	gone atomic.Bool
}

// watchClient looks whether the client's connection ends, without reading from it. It
// closes k when it does. What the client asks meanwhile ends the watch.
func (t *talk) watchClient(k *link) *vigil {
	v := &vigil{done: make(chan struct{})}
	t.reads = time.Time{}
	t.client.SetReadDeadline(t.reads) // one that is closed is gone
	go func() {
		defer close(v.done)
		if err := t.raw.Read(v.look); err == nil && v.gone.Load() {
			k.TCPConn.Close()
		}
	}()
	return v
}

// look peeks, and reports whether there was anything to see.
func (v *vigil) look(fd uintptr) bool {
	var one [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			v.gone.Store(err != nil || n == 0)
			return true
		}
	}
}

// watched ends the watch, if there is one.
func (t *talk) watched() {
	if t.vigil == nil {
		return
	}
	t.client.SetReadDeadline(time.Unix(1, 0)) // wakes it
	<-t.vigil.done
	t.vigil = nil
}

// away reports whether the client is known to have gone.
func (t *talk) away() bool {
	if t.vigil != nil && t.vigil.gone.Load() {
		return true
	}
	return t.upload != nil && t.upload.failed() != nil && t.upload.mistake() == nil
}
