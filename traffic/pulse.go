package traffic

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// processes is where the kernel shows them.
const processes = "/proc"

// pulse is what tells, without the engine, that a container has its address: a process
// of it lives, and its network has the address. The kernel says both. A network lives
// for as long as a process does that is in it, and nobody but the engine takes an
// address out of one.
type pulse struct {
	// process is the process, by a handle that never comes to mean another one.
	process *os.File
	life    syscall.RawConn
	// dir is where the kernel shows the process.
	dir string
	// lost is true once it was not felt.
	lost atomic.Bool
}

// feel finds the pulse of a container by one of its processes, whose number the engine
// has told. It fails where there is none: the process has ended, or its number is one
// of another machine, or of a container that this one cannot see into.
func feel(proc, container string, process int) (*pulse, error) {
	fd, err := unix.PidfdOpen(process, 0)
	if err != nil {
		return nil, fmt.Errorf("feel the pulse of container %s: process %d: %w", container, process, err)
	}
	p := &pulse{process: os.NewFile(uintptr(fd), "process"), dir: filepath.Join(proc, strconv.Itoa(process))}
	if p.life, err = p.process.SyscallConn(); err == nil {
		err = p.identify(container)
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("feel the pulse of container %s: %w", container, err)
	}
	return p, nil
}

// identify makes sure that the process is one of the container's: engines put those
// into a control group that is named after its ID.
func (p *pulse) identify(container string) error {
	groups, err := os.ReadFile(filepath.Join(p.dir, "cgroup"))
	switch {
	case err != nil:
		return err
	case !bytes.Contains(groups, []byte(container)):
		return fmt.Errorf("%s is no process of it", filepath.Base(p.dir))
	case !p.beats():
		return fmt.Errorf("process %s has ended", filepath.Base(p.dir))
	}
	return nil
}

// end lets go of the process.
func (p *pulse) end() {
	if p != nil {
		p.process.Close()
	}
}

// beats reports whether the process lives. Once it was not felt, a pulse is gone.
func (p *pulse) beats() bool {
	if p.lost.Load() {
		return false
	}
	alive := false
	err := p.life.Control(func(fd uintptr) {
		// A process that has ended can be read from, as it were.
		ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(ended, 0)
		for err == unix.EINTR {
			n, err = unix.Poll(ended, 0)
		}
		alive = err == nil && n == 0
	})
	if err != nil || !alive {
		p.lost.Store(true)
		return false
	}
	return true
}

// at reports whether the container has the address at this moment.
func (p *pulse) at(a netip.Addr) bool {
	// What was read is the process's own if it lives afterwards.
	if p.has(a.Unmap()) && p.beats() {
		return true
	}
	p.lost.Store(true)
	return false
}

// all reports whether the container has all of the addresses at this moment.
func (p *pulse) all(addresses []netip.Addr) bool {
	for _, a := range addresses {
		if !p.at(a) {
			return false
		}
	}
	return len(addresses) > 0
}

// has reads whether the network of the process has the address.
func (p *pulse) has(a netip.Addr) bool {
	name, listed := "fib_trie", listedIPv4
	if a.Is6() {
		name, listed = "if_inet6", listedIPv6
	}
	text, err := os.ReadFile(filepath.Join(p.dir, "net", name))
	return err == nil && listed(string(text), a)
}

// listedIPv4 finds an address among the kernel's routes: below its own line, one says
// that it is local.
func listedIPv4(routes string, a netip.Addr) bool {
	at := false
	for line := range strings.Lines(routes) {
		line = strings.TrimSpace(line)
		switch {
		case at && strings.HasSuffix(line, " host LOCAL"):
			return true
		case strings.HasPrefix(line, "|--"):
			at = line == "|-- "+a.String()
		}
	}
	return false
}

// listedIPv6 finds an address in the kernel's list, where it begins its line.
func listedIPv6(list string, a netip.Addr) bool {
	bytes := a.As16()
	want := hex.EncodeToString(bytes[:]) + " "
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, want) {
			return true
		}
	}
	return false
}
