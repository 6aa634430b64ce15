package traffic

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// put carries t out. The order matters: who is new can be chosen before who drains
// cannot be. The caller holds e.mu.
func (e *Edge) put(t Table) {
	before := e.closed
	e.table, e.closed = t, map[string]error{}
	e.forgetReruns(t)
	t = e.current(t)
	drains := e.name(t)
	e.leave(t)
	for _, p := range t.Ports {
		e.serve(p)
	}
	now := e.now()
	for _, r := range e.replicas {
		switch d := drains[r.identity]; {
		case d != nil:
			r.drain(*d, now)
		case r.addresses == nil && !r.closed.Load(): // gone, without having drained
			r.drain(Drain{Since: now, Timeout: DefaultDrain, Streams: DefaultStreams}, now)
		}
	}
	e.prune()
	for key, err := range e.closed {
		if before[key] == nil {
			e.log.Error("a port cannot be opened", "port", key, "error", err)
		}
	}
}

// name makes the replicas that t names and reopens those that it has as serving. It
// returns the drains of the others.
func (e *Edge) name(t Table) map[identity]*Drain {
	drains, addresses := map[identity]*Drain{}, map[identity][]netip.Addr{}
	for _, p := range t.Ports {
		for _, b := range p.Backends {
			id := b.identity()
			if e.replicas[id] == nil {
				e.replicas[id] = newReplica(p, b)
				e.replicas[id].doubted = e.now()
			}
			drains[id] = b.Drain
			e.replicas[id].process = cmp.Or(b.Process, e.replicas[id].process)
			if a := b.Address.Addr().Unmap(); !slices.Contains(addresses[id], a) {
				addresses[id] = append(addresses[id], a)
			}
		}
	}
	for id, r := range e.replicas {
		if slices.ContainsFunc(addresses[id], func(a netip.Addr) bool { return !slices.Contains(r.addresses, a) }) {
			r.unknow() // of these addresses nobody has said anything
			r.doubted = e.now()
		}
		r.addresses = addresses[id]
		if r.addresses != nil && drains[id] == nil && r.closed.Load() {
			r.reopen()
		}
	}
	return drains
}

// leave gives up the ports that t does not have, so that their addresses are free for
// whoever is to have them.
func (e *Edge) leave(t Table) {
	kept := map[string]bool{} // a range may have thousands of ports
	for _, p := range t.Ports {
		kept[p.Key()] = true
	}
	for key, f := range e.fronts {
		if !kept[key] {
			f.retire(false)
			f.endAfter(DefaultStreams)
			delete(e.fronts, key)
		}
	}
}

// serve opens the port unless it is open, and has it served as the table says.
func (e *Edge) serve(p Port) {
	f := e.fronts[p.Key()]
	if f == nil {
		if f = e.open(p); f == nil {
			return
		}
		e.fronts[p.Key()] = f
	}
	members := make([]member, len(p.Backends))
	for i, b := range p.Backends {
		members[i] = member{replica: e.replicas[b.identity()], address: b.Address}
	}
	f.port.Store(&p)
	f.pool.set(p, members)
	if f.begun {
		return
	}
	f.begun = true
	e.served.Go(func() { f.run(f.life) })
}

// open listens for a port. One that cannot be opened is tried again, and does not
// keep the others from being served.
func (e *Edge) open(p Port) *front {
	if e.retired {
		e.closed[p.Key()] = errRetired
		return nil
	}
	d, err := openDoor(e.life, p, e.sockets[p.Key()])
	delete(e.sockets, p.Key())
	if err != nil {
		e.closed[p.Key()] = err
		return nil
	}
	f := newFront(e.now, e.log, e.secret)
	f.door, f.sessions, f.exchanges.headroom = d, &e.sessions, &e.headroom
	f.life, f.cut = context.WithCancel(e.life)
	return f
}

// prune forgets replicas that the table does not name and that have nothing left.
// What they counted stays with their release.
func (e *Edge) prune() {
	for id, r := range e.replicas {
		if requests, streams := r.underway(); r.addresses == nil && requests+streams == 0 {
			r.rest()
			r.unknow()
			e.past.add(r)
			delete(e.replicas, id)
		}
	}
	e.past.keep(e.table)
}

// again wakes whoever waits for a replica.
func (e *Edge) again() {
	for _, f := range e.fronts {
		f.pool.again()
	}
}

func newFront(now func() time.Time, log *slog.Logger, secret []byte) *front {
	return &front{
		pool: newPool(now), log: log, now: now, secret: secret, ending: make(chan struct{}),
		sessions: new(atomic.Int64), exchanges: exchanges{headroom: new(atomic.Int64)},
	}
}

// run serves the port until it is given up and nothing is left of it. For UDP,
// reading fails with net.ErrClosed when everything ends at once, and with
// os.ErrDeadlineExceeded when a successor reads: sessions may then go on to send.
func (f *front) run(ctx context.Context) {
	defer f.cut()
	if f.door.packets != nil {
		defer context.AfterFunc(ctx, func() { f.door.packets.Close() })()
		f.serveUDP(ctx, f.door.packets)
		f.door.packets.Close()
		return
	}
	f.accept(ctx)
}

// retire takes nothing more in, see door.shut.
func (f *front) retire(toSuccessor bool) {
	select {
	case <-f.ending:
		return
	default:
	}
	close(f.ending)
	f.talks.hasten()
	if err := f.door.shut(toSuccessor); err != nil {
		f.log.Warn("a port was not closed well", "port", f.port.Load().Key(), "error", err)
	}
}

// endAfter ends what is left of the port when limit has passed.
func (f *front) endAfter(limit time.Duration) {
	late := time.AfterFunc(limit, f.cut)
	context.AfterFunc(f.life, func() { late.Stop() })
}

// busy is the pause after the kernel could not give another connection, as when there
// are too many open files.
const busy = 20 * time.Millisecond

// accept takes connections in until the port is given up, and waits for what they do.
func (f *front) accept(ctx context.Context) {
	var clients sync.WaitGroup
	var trouble seldom
	defer clients.Wait()
	defer context.AfterFunc(ctx, func() { f.door.listener.Close() })()
	for {
		conn, err := f.door.listener.Accept()
		if err != nil {
			select {
			case <-f.ending:
				return
			default:
			}
			if !pause(ctx, busy) {
				return
			}
			if trouble.due(f.now()) {
				f.log.WarnContext(ctx, "connections are not accepted", "port", f.port.Load().Key(), "error", err)
			}
			continue
		}
		port := f.port.Load()
		if f.open.Add(1) > int64(cmp.Or(port.MaxConnections, DefaultMaxConnections)) {
			f.open.Add(-1)
			f.refused.Add(1)
			conn.Close()
			continue
		}
		clients.Go(func() {
			defer f.open.Add(-1)
			f.answer(ctx, conn, port)
		})
	}
}

// answer serves one connection, which ends with ctx. What goes wrong with it must not
// take the others along.
func (f *front) answer(ctx context.Context, conn net.Conn, port *Port) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer func() {
		if failure := recover(); failure != nil {
			f.log.ErrorContext(ctx, "a connection was given up", "port", port.Key(), "failure", failure, "stack", string(debug.Stack()))
		}
	}()
	f.serve(ctx, newClient(conn, port))
}
