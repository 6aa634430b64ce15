package traffic

import (
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// lookBehind looks for the client's end where the watch has ended with what the client
// asked meanwhile: that lies before the end, and stays there until this request is over.
// A client could otherwise leave requests behind, one after another, that hold replicas.
func (t *talk) lookBehind() {
	if t.vigil == nil || !over(t.vigil.done) || t.vigil.gone.Load() {
		return
	}
	var info *unix.TCPInfo
	var failed error
	err := t.raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	if err == nil && failed == nil && info.State != unix.BPF_TCP_CLOSE && info.State != unix.BPF_TCP_CLOSE_WAIT {
		return
	}
	t.vigil.gone.Store(true)
	t.link.TCPConn.Close()
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
