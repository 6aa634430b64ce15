package traffic

import (
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// HAProxy drives a running HAProxy, 2.6 or newer, through its runtime API. The operator
// writes the frontends, and for each port a backend without servers, which davit puts in
// and takes out:
//
//	backend davit_shop_web_8080
//	    balance leastconn
//
// Nothing is written to its configuration, so that a reload of HAProxy empties the
// backends until the next Apply.
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

// Apply makes every backend of t have the servers that t says, each ready, draining or
// gone. What another than davit put into a backend is left alone.
func (h *HAProxy) Apply(ctx context.Context, t Table) error {
	found, err := h.servers(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, g := range t.groups(haproxyHeaviest) {
		servers, known := found[g.name]
		if !known {
			failed = append(failed, fmt.Errorf("haproxy has no backend %s", g.name))
			continue
		}
		failed = append(failed, h.fill(ctx, g, servers))
	}
	return errors.Join(failed...)
}

// fill brings one backend to what is wanted: first who is to serve, then who is not.
func (h *HAProxy) fill(ctx context.Context, g group, has []haproxyServer) error {
	for _, b := range g.ends {
		at := slices.IndexFunc(has, func(s haproxyServer) bool { return s.name == serverName(b) })
		weight, serves := g.shares[b.Container]
		switch {
		case at < 0 && !serves:
		case at < 0:
			if err := h.add(ctx, g.name, b, weight); err != nil {
				return err
			}
		case has[at].address != b.Address.String():
			// One name is one container since one moment: it was plugged in anew.
			if err := h.say(ctx, "set server %s/%s addr %s port %d", g.name, serverName(b), b.Address.Addr(), b.Address.Port()); err != nil {
				return err
			}
			fallthrough
		default:
			if err := h.turn(ctx, g.name, has[at], weight, serves); err != nil {
				return err
			}
		}
	}
	for _, s := range has {
		wanted := slices.ContainsFunc(g.ends, func(b Backend) bool { return serverName(b) == s.name })
		if wanted || !strings.HasPrefix(s.name, serverPrefix) {
			continue
		}
		if err := h.drop(ctx, g.name, s); err != nil {
			return err
		}
	}
	return nil
}

func (h *HAProxy) add(ctx context.Context, backend string, b Backend, weight int) error {
	server := backend + "/" + serverName(b)
	if err := h.say(ctx, "add server %s %s weight %d", server, b.Address, weight); err != nil {
		return err
	}
	return h.say(ctx, "set server %s state ready", server) // it is born in maintenance
}

func (h *HAProxy) turn(ctx context.Context, backend string, s haproxyServer, weight int, serves bool) error {
	server := backend + "/" + s.name
	switch {
	case !serves && s.ready:
		return h.say(ctx, "set server %s state drain", server)
	case !serves:
		return nil
	}
	if s.weight != weight {
		if err := h.say(ctx, "set weight %s %d", server, weight); err != nil {
			return err
		}
	}
	if s.ready {
		return nil
	}
	return h.say(ctx, "set server %s state ready", server)
}

// drop ends a server that no table names any more. One that has something left to do
// goes with a later table.
func (h *HAProxy) drop(ctx context.Context, backend string, s haproxyServer) error {
	server := backend + "/" + s.name
	if !s.maint {
		if err := h.say(ctx, "set server %s state maint", server); err != nil {
			return err
		}
	}
	if s.inFlight > 0 {
		return nil
	}
	if err := h.say(ctx, "del server %s", server); err != nil && !strings.Contains(err.Error(), "still has connections") {
		return err
	}
	return nil
}

// InFlight is how many requests and connections each replica has.
func (h *HAProxy) InFlight(ctx context.Context, t Table) (map[string]int64, error) {
	found, err := h.servers(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, g := range t.groups(haproxyHeaviest) {
		for _, b := range g.ends {
			for _, s := range found[g.name] {
				if s.name == serverName(b) {
					out[b.Container] += s.inFlight
				}
			}
		}
	}
	return out, nil
}

const serverPrefix = "davit_"

// serverName tells a container from the same one started again: its address may be
// another by then, and it was not ready.
func serverName(b Backend) string {
	return fmt.Sprintf("%s%.12s_%d", serverPrefix, b.Container, b.Started.UnixMilli())
}

// servers are all servers by backend. A backend without servers is there as well.
func (h *HAProxy) servers(ctx context.Context) (map[string][]haproxyServer, error) {
	text, err := h.ask(ctx, "show stat -1 6 -1") // every proxy; backends and servers
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("haproxy: read its statistics: %w", errors.Join(err, io.ErrUnexpectedEOF))
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, name := range []string{"pxname", "svname", "status", "scur", "weight", "addr", "qcur"} {
		if _, ok := column[name]; !ok {
			return nil, fmt.Errorf("haproxy: its statistics have no column %s; is it older than 2.6, or the socket not of level admin?", name)
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
	return fmt.Errorf("haproxy: %s: %s", command, answer)
}

// ask gives one command and returns the whole answer.
func (h *HAProxy) ask(ctx context.Context, command string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, haproxyTimeout))
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", h.Socket)
	if err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, command+"\n"); err != nil {
		return "", fmt.Errorf("haproxy: %s: %w", command, err)
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxReply))
	if err != nil {
		return "", fmt.Errorf("haproxy: %s: %w", command, err)
	}
	return string(text), nil
}
