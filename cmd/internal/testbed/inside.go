package testbed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Inside makes a command that runs where the engine's containers can be reached, and
// where their host ports are.
func (p *PrivateEngine) Inside(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + p.namespace(), name}, args...)...)
}

func (p *PrivateEngine) namespace() string {
	return fmt.Sprintf("/proc/%d/ns/net", p.space.Process.Pid)
}

// Dial connects from there to an address such as "127.0.0.1:8080".
func (p *PrivateEngine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// A socket belongs to the network of the thread that makes it. The thread is not
		// unlocked unless it is back: it then ends with this goroutine.
		runtime.LockOSThread()
		back, err := enter(p.namespace())
		if err != nil {
			done <- result{err: err}
			return
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if back() == nil {
			runtime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// enter takes this thread to another network, and with what it returns back again.
func enter(namespace string) (back func() error, err error) {
	here, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, fmt.Errorf("enter %s: %w", namespace, err)
	}
	there, err := os.Open(namespace)
	if err == nil {
		err = errors.Join(unix.Setns(int(there.Fd()), unix.CLONE_NEWNET), there.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("enter %s: %w", namespace, err), here.Close())
	}
	return func() error {
		return errors.Join(unix.Setns(int(here.Fd()), unix.CLONE_NEWNET), here.Close())
	}, nil
}

// loopback makes 127.0.0.1 an address there.
func (p *PrivateEngine) loopback() error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // as in Dial
		back, err := enter(p.namespace())
		if err == nil {
			err = raise("lo")
			if back() == nil {
				runtime.UnlockOSThread()
			}
		}
		done <- err
	}()
	return <-done
}

// raise brings an interface of this thread's network up.
func raise(name string) error {
	any, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	defer unix.Close(any)
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		err = unix.IoctlIfreq(any, unix.SIOCSIFFLAGS, request)
	}
	if err != nil {
		return fmt.Errorf("bring %s up: %w", name, err)
	}
	return nil
}
