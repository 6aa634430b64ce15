package main

import (
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// refuseKnocks has the kernel refuse whoever asks l for a connection from now on, the
// container itself excepted, while those who have asked still get in.
//
// A listener that is closed resets the connections that the kernel has accepted and the
// program has not: their callers have been let in, may have sent a request, and cannot
// tell whether it was carried out. With nobody new, the program can take them all first.
// A listener that is bound to the loopback device is none for the rest of the world.
func refuseKnocks(l *net.TCPListener) error {
	err := control(l, func(fd int) error { return unix.BindToDevice(fd, "lo") })
	if err != nil {
		return fmt.Errorf("refuse knocks: %w", err)
	}
	return nil
}

// handshake is how long one that has begun may take to end.
const handshake = 100 * time.Millisecond

// untilEmpty waits until l, which refuses knocks, has nobody left to accept.
func untilEmpty(l *net.TCPListener) error {
	time.Sleep(handshake)
	for {
		var waiting uint32
		err := control(l, func(fd int) error {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err == nil {
				waiting = info.Unacked // of a listener: its queue
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("look at the queue: %w", err)
		}
		if waiting == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func control(l *net.TCPListener, f func(fd int) error) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
