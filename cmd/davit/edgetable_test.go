package main

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"davit/compose"
	"davit/reconcile"
	"davit/traffic"
)

func TestATableIsReadAsItWasWritten(t *testing.T) {
	port := func(host uint16, more func(*compose.PublishedPort)) compose.PublishedPort {
		p := compose.PublishedPort{Network: "tcp", Host: host, Target: host + 8000}
		more(&p)
		return p
	}
	plain := func(*compose.PublishedPort) {}
	member := func(id string) reconcile.Member {
		return reconcile.Member{Container: id, Started: then, Address: netip.MustParseAddr("172.18.0.3"), Seen: then.Add(time.Minute), Process: 4711, Name: "web/1", Release: 4}
	}
	draining := member("a")
	draining.Draining, draining.Limits = then.Add(time.Hour), compose.Drain{Timeout: time.Second, Streams: time.Minute}
	busy := member("b")
	busy.Requests, busy.Streams = 3, 1
	want := reconcile.EdgeTable{Generation: 7, Closed: map[reconcile.HostPort]string{}, Routes: []reconcile.Route{
		{Stack: "dns", Service: "resolver", Ports: []compose.PublishedPort{port(53, func(p *compose.PublishedPort) { p.Network = "udp" })}},
		{Stack: "shop", Service: "api", Members: []reconcile.Member{member("c")}, Ports: []compose.PublishedPort{
			port(81, func(p *compose.PublishedPort) {
				p.HostIP = netip.MustParseAddr("127.0.0.1")
				p.PortSettings = compose.PortSettings{Speaks: compose.PortHTTP, Affinity: compose.AffinityCookie,
					Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Park: time.Second, Idle: time.Minute, MaxConnections: 5}
			}),
			port(82, func(p *compose.PublishedPort) {
				p.HostIP = netip.IPv6Unspecified()
				p.PortSettings = compose.PortSettings{Speaks: compose.PortTCP, Affinity: compose.AffinitySource, AcceptProxy: true, SendProxy: 2}
			}),
			port(83, func(p *compose.PublishedPort) { p.HostIP = netip.IPv4Unspecified() }),
		}},
		{Stack: "shop", Service: "web", Members: []reconcile.Member{draining, busy}, Weights: map[int64]int{3: 95, 4: 5}, Ports: []compose.PublishedPort{port(80, plain), port(443, plain)}},
	}}
	written := writeTable("host", want)
	if err := written.Validate(); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	var wire traffic.Table
	if err := json.Unmarshal(text, &wire); err != nil {
		t.Fatal(err)
	}
	state := traffic.State{Replicas: []traffic.ReplicaState{
		{Container: "b", Started: then, Requests: 3, Streams: 1},
		{Container: "a", Started: then.Add(-time.Hour), Requests: 9}, // an earlier run of it
	}}
	if got := readTable(wire, state); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(written.Ports) != 2+3+4 {
		t.Errorf("%d ports: one without an address is one of each family", len(written.Ports))
	}
}

func TestPortsThatTheEdgeCannotOpenAreNamed(t *testing.T) {
	table := writeTable("host", reconcile.EdgeTable{Generation: 1, Routes: []reconcile.Route{
		{Stack: "shop", Service: "web", Ports: []compose.PublishedPort{{Network: "tcp", Host: 80, Target: 8080}, {Network: "tcp", Host: 81, Target: 8081}}},
	}})
	state := traffic.State{Ports: []traffic.PortState{
		{Key: "tcp 0.0.0.0:80", Closed: "bind: address already in use"}, {Key: "tcp [::]:80"},
		{Key: "tcp 0.0.0.0:81"}, {Key: "tcp [::]:81", Closed: "socket: address family not supported by protocol"}, // a host without IPv6
	}}
	want := map[reconcile.HostPort]string{{Network: "tcp", Port: 80}: "bind: address already in use"}
	if got := readTable(table, state).Closed; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A range of a compose file may have thousands of ports, and the edge is looked at often.
func TestManyPortsAreNotLookedUpOneByOne(t *testing.T) {
	const many = 500
	var table traffic.Table
	var state traffic.State
	for i := range uint16(many) {
		p := traffic.Port{Address: netip.AddrPortFrom(netip.IPv4Unspecified(), 1000+i)}
		table.Ports = append(table.Ports, p)
		state.Ports = append(state.Ports, traffic.PortState{Key: p.Key()})
	}
	if n := testing.AllocsPerRun(3, func() { closedPorts(table, state) }); n > 20*many {
		t.Errorf("to find that none of %d ports is closed takes %.0f pieces of memory", many, n)
	}
}
