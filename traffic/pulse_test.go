package traffic

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// kernel stands in for what the kernel shows of processes, which do exist.
type kernel struct {
	t    *testing.T
	proc string
}

// process begins one of a container's that has an address, until it is ended.
func (k *kernel) process(container, address string) (pid int, end func()) {
	k.t.Helper()
	c := exec.Command("sleep", "1000")
	if err := c.Start(); err != nil {
		k.t.Fatal(err)
	}
	var ended atomic.Bool
	end = func() {
		if ended.CompareAndSwap(false, true) {
			_ = c.Process.Kill()
			_ = c.Wait() // it was killed
		}
	}
	k.t.Cleanup(end)
	k.write(c.Process.Pid, "cgroup", "0::/../../docker-"+container+".scope/init\n")
	k.has(c.Process.Pid, address)
	return c.Process.Pid, end
}

// has gives the process another address.
func (k *kernel) has(pid int, address string) {
	k.t.Helper()
	k.write(pid, "net/fib_trie", `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 127.0.0.1
        /16 link UNICAST
Local:
     |-- `+address+`
        /32 host LOCAL
     |-- 127.9.255.255
        /32 link BROADCAST
`)
	k.write(pid, "net/if_inet6", "fd000000000000000000000000000002 02 40 00 80 eth0\n")
}

func (k *kernel) write(pid int, name, text string) {
	k.t.Helper()
	path := filepath.Join(k.proc, strconv.Itoa(pid), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		k.t.Fatal(err)
	}
}

func TestAPulseIsFeltWhereTheContainerHasTheAddress(t *testing.T) {
	k := &kernel{t, t.TempDir()}
	pid, end := k.process("c0ffee", "127.9.9.1")
	if _, err := feel(k.proc, "decaf", pid); err == nil || !strings.Contains(err.Error(), "no process of it") {
		t.Errorf("another container's process: %v", err)
	}
	p, err := feel(k.proc, "c0ffee", pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	for _, a := range []string{"127.9.9.1", "fd00::2"} {
		if !p.at(netip.MustParseAddr(a)) {
			t.Errorf("it has %s, and that is not felt", a)
		}
	}
	if p.at(netip.MustParseAddr("127.9.9.2")) || p.beats() || p.at(netip.MustParseAddr("127.9.9.1")) {
		t.Error("an address that it has not, or what was not felt once")
	}
	for _, a := range []string{"127.9.255.255", "127.0.0.1", "fd00::3"} {
		p, err := feel(k.proc, "c0ffee", pid)
		if err != nil {
			t.Fatal(err)
		}
		if p.at(netip.MustParseAddr(a)) {
			t.Errorf("%s is none of its addresses", a)
		}
		p.end()
	}
	last, err := feel(k.proc, "c0ffee", pid)
	if err != nil {
		t.Fatal(err)
	}
	defer last.end()
	end()
	if last.at(netip.MustParseAddr("127.9.9.1")) {
		t.Error("a process that has ended is felt")
	}
	if _, err := feel(k.proc, "c0ffee", pid); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("of a process that has ended: %v", err)
	}
}

func TestTheKernelIsUnderstood(t *testing.T) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	p, err := feel(processes, strings.TrimSpace(strings.SplitN(string(groups), "\n", 2)[0]), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	if loopback := netip.MustParseAddr("127.0.0.1"); !p.at(loopback) {
		t.Errorf("%s is no address here", loopback)
	}
	if foreign := netip.MustParseAddr("192.0.2.77"); p.at(foreign) {
		t.Errorf("%s is an address here", foreign)
	}
}

// usable reports whether the container's replica may be claimed behind p.
func usable(t *testing.T, e *Edge, p Port, container string) bool {
	t.Helper()
	l, _, _ := poolOf(t, e, p).try(want{})
	if l == nil {
		return false
	}
	defer l.end(outcome{unused: true}, time.Now())
	return l.replica.identity.container == container && l.replica.sure(l.address.Addr()).stands()
}

func TestWhatIsFeltIsServedWhileTheEngineIsAway(t *testing.T) {
	k := &kernel{t, t.TempDir()}
	felt, other := backend(1), backend(2)
	pid, end := k.process(felt.Container, felt.Address.Addr().String())
	h := newHost(felt, other)
	h.has[felt.Container] = Sighting{felt.Container, felt.Started, []netip.Addr{felt.Address.Addr()}, pid}
	e, _ := runEdge(t, Options{Lookout: h})
	e.mu.Lock()
	e.proc = k.proc
	e.mu.Unlock()
	<-h.watched
	ports := []Port{
		{Address: vacant(t), Stack: "shop", Service: "a", Backends: []Backend{felt}},
		{Address: vacant(t), Stack: "shop", Service: "b", Backends: []Backend{other}},
	}
	apply(t, e, Table{Instance: "here", Generation: 1, Ports: ports})
	if !usable(t, e, ports[0], felt.Container) || !usable(t, e, ports[1], other.Container) {
		t.Fatal("the engine has seen both")
	}
	h.hear(errors.New("the engine is away"))
	if usable(t, e, ports[1], other.Container) {
		t.Error("nobody vouches for a container whose process is not known, and it is served")
	}
	if !usable(t, e, ports[0], felt.Container) {
		t.Fatal("its process lives, has the address, and it is not served")
	}
	table := seen(Table{Instance: "here", Generation: 2, Ports: ports}, time.Now())
	apply(t, e, table)
	if usable(t, e, ports[1], other.Container) {
		t.Error("what a table saw is believed, and what happened since would not have been heard")
	}
	h.hear(errors.New("the engine is still away"))
	if !usable(t, e, ports[0], felt.Container) {
		t.Error("it is not served any more, and nothing has happened")
	}
	h.hear(nil)
	eventually(t, "the engine vouches for both again", func() bool {
		return usable(t, e, ports[0], felt.Container) && usable(t, e, ports[1], other.Container)
	})
	h.hear(errors.New("the engine is away again"))
	end()
	if usable(t, e, ports[0], felt.Container) {
		t.Error("its process has ended, and it is served")
	}
}

func TestWhatIsFeltAndHasAnotherAddressByNowIsNotServed(t *testing.T) {
	k := &kernel{t, t.TempDir()}
	one := backend(1)
	one.Process, _ = k.process(one.Container, one.Address.Addr().String())
	h := newHost(one)
	e, _ := runEdge(t, Options{Lookout: h})
	e.mu.Lock()
	e.proc = k.proc
	e.mu.Unlock()
	<-h.watched
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	apply(t, e, tableOf(1, web))
	h.hear(errors.New("the engine is away"))
	if !usable(t, e, web, one.Container) {
		t.Fatal("it is not served")
	}
	k.has(one.Process, "127.9.9.3")
	for range 2 { // not the connection that came about, nor a claim after it
		if usable(t, e, web, one.Container) {
			t.Error("it is dialled at an address that it has not any more")
		}
	}
	if confirmed(e, one.Container) {
		t.Error("it is said to be confirmed")
	}
	h.mu.Lock()
	h.has[one.Container] = Sighting{Container: one.Container, Started: one.Started, Addresses: []netip.Addr{netip.MustParseAddr("127.9.9.3")}}
	h.mu.Unlock()
	h.hear(nil)
	eventually(t, "the engine was asked", func() bool { return h.looks.Load() > 0 })
	if usable(t, e, web, one.Container) {
		t.Error("the engine says that it is elsewhere")
	}
}

func TestAnEdgeThatBeginsWhileTheEngineIsAwayServesWhatItFeels(t *testing.T) {
	k := &kernel{t, t.TempDir()}
	one := backend(1)
	var end func()
	one.Process, end = k.process(one.Container, one.Address.Addr().String())
	dir := t.TempDir()
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	e, stop := runEdge(t, Options{Dir: dir})
	apply(t, e, tableOf(1, web))
	stop()
	begin := func() (*Edge, func()) {
		e, err := New(Options{Dir: dir, Log: discarded(), Lookout: deaf{}})
		if err != nil {
			t.Fatal(err)
		}
		e.proc = k.proc
		return e, running(t, e)
	}
	e, stop = begin()
	if !usable(t, e, web, one.Container) {
		t.Error("it is not served")
	}
	stop()
	end()
	e, _ = begin()
	if usable(t, e, web, one.Container) {
		t.Error("its process has ended, and it is served")
	}
	eventually(t, "it says that nothing is heard", func() bool { return strings.Contains(e.State().Blind, "away") })
}

// A packet that nobody takes is sent again after a second, and may be answered by a
// container that has been given the address since.
func TestAConnectionThatCameAboutAfterADoubtIsNotUsed(t *testing.T) {
	t.Parallel()
	full := newFullHost(t)
	one := &stand{address: ends(full.Addr())}
	b := newBed(t, Port{Protocol: ProtocolTCP}, one)
	conn := b.dial()
	if _, err := conn.Write([]byte("for web/1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is being dialled", func() bool { return one.replica.streams.Load() == 1 })
	time.Sleep(50 * time.Millisecond) // most likely the first packet is out by now
	one.replica.unknow()
	heard := full.answer()
	eventually(t, "the connection that came about is given up", func() bool { return one.replica.streams.Load() == 0 })
	select {
	case said := <-heard:
		t.Errorf("who has the address by then was told %q", said)
	default:
	}
	one.replica.confirm()
	b.pool.again()
	if said := <-heard; said != "for web/1" {
		t.Errorf("it is certain again, and was told %q", said)
	}
}

func TestADatagramIsNotSentToAnAddressInDoubt(t *testing.T) {
	one, two := named(t, "one"), named(t, "two")
	b := newUDPBed(t, "127.0.0.1:0", Port{}, one)
	conn := caller(t, b.address)
	if said := calling(t, conn, "hello"); !strings.HasPrefix(said, "one ") {
		t.Fatal(said)
	}
	one.replica.unknow()
	b.put(Port{Network: UDP}, one, two)
	if said := calling(t, conn, "hello again"); !strings.HasPrefix(said, "two ") {
		t.Errorf("while the address of one is in doubt: %s", said)
	}
	one.replica.confirm()
}

func TestATableFromTheFutureIsNotBelieved(t *testing.T) {
	e, _ := runEdge(t, Options{})
	one := backend(1)
	web := Port{Address: vacant(t), Stack: "shop", Service: "web", Backends: []Backend{one}}
	apply(t, e, seen(tableOf(1, web), time.Now().Add(time.Hour)))
	if confirmed(e, one.Container) {
		t.Error("the clock was set back since: what is said to have been seen after a doubt may be older")
	}
}

// deaf is the lookout of an engine that is away.
type deaf struct{}

var errNotThere = errors.New("the engine is away")

func (deaf) Watch(ctx context.Context, heard func(error), _ func(string)) error {
	heard(errNotThere)
	<-ctx.Done()
	return ctx.Err()
}

func (deaf) Look(context.Context, []string) ([]Sighting, error) { return nil, errNotThere }

// fullHost takes no connection before it answers: the kernel has no room for another one.
type fullHost struct {
	net.Listener
	talks sync.WaitGroup
}

func newFullHost(t *testing.T) *fullHost {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	f := &fullHost{Listener: l}
	t.Cleanup(func() {
		l.Close()
		f.talks.Wait()
	})
	for range 10 {
		conn, err := net.DialTimeout("tcp", l.Addr().String(), 300*time.Millisecond)
		if err != nil {
			return f
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("there is room for whoever comes")
	return nil
}

// answer takes connections from now on, and passes on what they are told.
func (f *fullHost) answer() <-chan string {
	heard := make(chan string, 100)
	f.talks.Go(func() {
		for {
			conn, err := f.Accept()
			if err != nil {
				return
			}
			f.talks.Go(func() {
				defer conn.Close()
				b := make([]byte, 100)
				if n, _ := conn.Read(b); n > 0 {
					heard <- string(b[:n])
				}
			})
		}
	})
	return heard
}
