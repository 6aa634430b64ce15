package traffic

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HAProxy drives a running HAProxy, 2.6 or newer, through its runtime API. The operator
// writes the frontends, and for each port a backend without servers, which davit puts in
// and takes out:
//
//	backend davit.shop.web.8080
//	    balance leastconn
//
// Nothing is written to its configuration, so that a restart or reload of HAProxy empties
// the backends until the next Apply.
//
// Source of the commands: HAProxy management guide 2.6, "Unix Socket commands".
type HAProxy struct {
	// Socket is the path of a stats socket with level admin.
	Socket string
	// Timeout bounds one command. Default 5 s.
	Timeout time.Duration
}

const (
	haproxyTimeout = 5 * time.Second
	// haproxyHeaviest is the highest weight that it knows.
	haproxyHeaviest = 256
	// maxReply bounds what is read of a reply: a page of statistics has about 1 KiB for
	// each server.
	maxReply = 16 << 20
)

// haproxyServer is a server of a backend, as HAProxy has it.
type haproxyServer struct {
	name, address string
	// ready is false while it is draining or in maintenance, maint only for the latter.
	ready, maint bool
	weight       int
	inFlight     int64
}

// Apply makes every backend of t have the servers that t says, each ready, in
// maintenance or gone. What another than this davit put into a backend is left alone.
func (h *HAProxy) Apply(ctx context.Context, t Table) error {
	found, err := h.servers(ctx)
	if err != nil {
		return err
	}
	var failed []error
	named := map[string]bool{}
	for _, g := range t.groups(haproxyHeaviest) {
		servers, known := found[g.name]
		named[g.name] = true
		if !known && len(g.shares) > 0 {
			failed = append(failed, fmt.Errorf("it has no backend %s", g.name))
		}
		if known {
			failed = append(failed, h.fill(ctx, t.Instance, g, servers))
		}
	}
	for backend, servers := range found {
		if !named[backend] {
			failed = append(failed, h.fill(ctx, t.Instance, group{name: backend}, servers))
		}
	}
	return errors.Join(failed...)
}

// fill brings one backend to what is wanted: first who is to serve, then who is not.
func (h *HAProxy) fill(ctx context.Context, instance string, g group, has []haproxyServer) error {
	for _, serving := range []bool{true, false} {
		for _, b := range g.ends {
			weight, serves := g.shares[b.Container]
			if serves != serving {
				continue
			}
			if err := h.place(ctx, g.name, wantedServer{serverName(instance, b), b.Address, weight, serves}, has); err != nil {
				return err
			}
		}
	}
	for _, s := range g.superfluous(instance, has) {
		if err := h.drop(ctx, g.name, s); err != nil {
			return err
		}
	}
	return nil
}

// superfluous are the servers that this davit has put there, and that nobody wants.
func (g group) superfluous(instance string, has []haproxyServer) (out []haproxyServer) {
	for _, s := range has {
		wanted := slices.ContainsFunc(g.ends, func(b Backend) bool { return serverName(instance, b) == s.name })
		if !wanted && strings.HasPrefix(s.name, serverPrefix(instance)) {
			out = append(out, s)
		}
	}
	return out
}

// wantedServer is a server as it is to be.
type wantedServer struct {
	name    string
	address netip.AddrPort
	weight  int
	serves  bool
}

// as reports whether s is already what is wanted.
func (w wantedServer) as(s haproxyServer) bool {
	if !w.serves {
		return s.maint
	}
	return s.ready && s.weight == w.weight && s.address == w.address.String()
}

// place makes one server what is wanted. Who is not to serve and is not there either
// stays away.
func (h *HAProxy) place(ctx context.Context, backend string, w wantedServer, has []haproxyServer) error {
	at := slices.IndexFunc(has, func(s haproxyServer) bool { return s.name == w.name })
	switch {
	case at >= 0 && w.as(has[at]) || at < 0 && !w.serves:
		return nil
	case !w.serves:
		return h.halt(ctx, backend, has[at])
	case at < 0:
		if err := h.say(ctx, "add server %s/%s %s weight %d", backend, w.name, w.address, w.weight); err != nil {
			return err
		}
		return h.say(ctx, "set server %s/%s state ready", backend, w.name) // it is born in maintenance
	}
	// One name is one container since one moment: it was plugged in anew.
	if has[at].address != w.address.String() {
		if err := h.say(ctx, "set server %s/%s addr %s port %d", backend, w.name, w.address.Addr(), w.address.Port()); err != nil {
			return err
		}
	}
	if has[at].weight != w.weight {
		if err := h.say(ctx, "set weight %s/%s %d", backend, w.name, w.weight); err != nil {
			return err
		}
	}
	return h.say(ctx, "set server %s/%s state ready", backend, w.name)
}

// halt gives a server nothing new. It goes into maintenance: one that only drains
// still gets clients that a cookie or a stick table ties to it.
func (h *HAProxy) halt(ctx context.Context, backend string, s haproxyServer) error {
	if s.maint {
		return nil
	}
	return h.say(ctx, "set server %s/%s state maint", backend, s.name)
}

// drop ends a server that no table names any more. One that has something left to do
// goes with a later table.
func (h *HAProxy) drop(ctx context.Context, backend string, s haproxyServer) error {
	if err := h.halt(ctx, backend, s); err != nil || s.inFlight > 0 {
		return err
	}
	err := h.say(ctx, "del server %s/%s", backend, s.name)
	if err != nil && !strings.Contains(err.Error(), "still has connections") {
		return err
	}
	return nil
}

// Look counts requests and connections of each replica.
func (h *HAProxy) Look(ctx context.Context, t Table) (Standing, error) {
	found, err := h.servers(ctx)
	if err != nil {
		return Standing{}, err
	}
	out := Standing{Holds: true, InFlight: map[string]int64{}, Backends: slices.Sorted(maps.Keys(found))}
	groups := map[string]group{}
	for _, g := range t.groups(haproxyHeaviest) {
		groups[g.name] = g
		_, known := found[g.name]
		out.Holds = out.Holds && (known || len(g.shares) == 0)
	}
	for backend, has := range found {
		g := groups[backend]
		busy := func(s haproxyServer) bool { return !s.maint }
		out.Holds = out.Holds && g.heldBy(t.Instance, has) && !slices.ContainsFunc(g.superfluous(t.Instance, has), busy)
		for _, b := range g.ends {
			for _, s := range has {
				if s.name == serverName(t.Instance, b) {
					out.InFlight[b.Container] += s.inFlight
				}
			}
		}
	}
	return out, nil
}

// Check finds out, changing nothing, whether davit may steer it, and returns its
// backends.
func (h *HAProxy) Check(ctx context.Context) (backends []string, err error) {
	standing, err := h.Look(ctx, Table{})
	if err != nil {
		return nil, err
	}
	// Who is not admin is refused before it is seen that there is no such server.
	answer, err := h.ask(ctx, "del server davit.none/none")
	if err == nil && !strings.Contains(answer, "No such") {
		err = fmt.Errorf("its socket lets davit only look: %s", strings.TrimSpace(answer))
	}
	return standing.Backends, err
}

// heldBy reports whether the servers of a backend are as g wants them.
func (g group) heldBy(instance string, has []haproxyServer) bool {
	for _, b := range g.ends {
		weight, serves := g.shares[b.Container]
		w := wantedServer{serverName(instance, b), b.Address, weight, serves}
		at := slices.IndexFunc(has, func(s haproxyServer) bool { return s.name == w.name })
		if at < 0 && serves || at >= 0 && !w.as(has[at]) {
			return false
		}
	}
	return true
}

// serverPrefix begins the name of every server that a davit puts in.
func serverPrefix(instance string) string { return fmt.Sprintf("davit-%.8s-", instance) }

// serverName tells a container from the same one started again: its address may be
// another by then, and it was not ready.
func serverName(instance string, b Backend) string {
	return fmt.Sprintf("%s%.12s-%d", serverPrefix(instance), b.Container, b.Started.UnixMilli())
}

// servers are all servers by backend. A backend without servers is there as well.
func (h *HAProxy) servers(ctx context.Context) (map[string][]haproxyServer, error) {
	text, err := h.ask(ctx, "show stat -1 6 -1") // every proxy; backends and servers
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("read its statistics: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, name := range []string{"pxname", "svname", "status", "scur", "weight", "addr", "qcur"} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("its statistics have no column %s; is it older than 2.6, or the socket not of level admin?", name)
		}
	}
	out := map[string][]haproxyServer{}
	for _, row := range rows[1:] {
		of := func(name string) string { return row[column[name]] }
		backend := of("pxname")
		if of("svname") == "BACKEND" {
			out[backend] = append(out[backend], []haproxyServer{}...)
			continue
		}
		busy, _ := strconv.ParseInt(of("scur"), 10, 64)
		weight, _ := strconv.Atoi(of("weight"))
		status := of("status")
		out[backend] = append(out[backend], haproxyServer{
			name: of("svname"), address: of("addr"), inFlight: busy, weight: weight,
			ready: strings.HasPrefix(status, "UP") || status == "no check" || strings.HasPrefix(status, "DOWN"),
			maint: strings.HasPrefix(status, "MAINT"),
		})
	}
	return out, nil
}

// say gives a command whose answer is empty, or a sentence that reports success.
func (h *HAProxy) say(ctx context.Context, format string, args ...any) error {
	command := fmt.Sprintf(format, args...)
	answer, err := h.ask(ctx, command)
	if err != nil {
		return err
	}
	switch answer = strings.TrimSpace(answer); {
	case answer == "", answer == "New server registered.", answer == "Server deleted.",
		strings.HasPrefix(answer, "IP changed"), strings.HasPrefix(answer, "port changed"), strings.HasPrefix(answer, "no need to change"):
		return nil
	}
	return fmt.Errorf("%s: %s", command, answer)
}

// ask gives one command and returns the whole answer.
func (h *HAProxy) ask(ctx context.Context, command string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, haproxyTimeout))
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", h.Socket)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBalancerAway, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", fmt.Errorf("%w: %w", ErrBalancerAway, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrBalancerAway, command, err)
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxReply))
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", ErrBalancerAway, command, err)
	}
	return string(text), nil
}
