package rollout_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"davit/reconcile"
	"davit/rollout"
)

func TestAPortOfAnotherProgramIsFoundBeforeAnythingChanges(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	defer udp.Close()
	of := func(network string, a net.Addr, ip netip.Addr) reconcile.HostPort {
		at := netip.MustParseAddrPort(a.String())
		return reconcile.HostPort{Network: network, IP: ip, Port: at.Port()}
	}
	local := netip.MustParseAddr("127.0.0.1")
	for name, h := range map[string]reconcile.HostPort{
		"at its address":    of("tcp", tcp.Addr(), local),
		"at all addresses":  of("tcp", tcp.Addr(), netip.Addr{}),
		"of UDP":            of("udp", udp.LocalAddr(), local),
		"of UDP everywhere": of("udp", udp.LocalAddr(), netip.Addr{}),
	} {
		err := rollout.Ports{}.Check(t.Context(), reconcile.Plan{Opens: []reconcile.HostPort{h}})
		if err == nil || !strings.Contains(err.Error(), "host port "+h.String()+" is taken by another program") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFreePortIsLeftFree(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	at := netip.MustParseAddrPort(l.Addr().String())
	must(t, l.Close())
	must(t, rollout.Ports{}.Check(t.Context(), reconcile.Plan{Opens: []reconcile.HostPort{
		{Network: "tcp", IP: at.Addr(), Port: at.Port()},
		{Network: "tcp", IP: netip.MustParseAddr("192.0.2.1"), Port: at.Port()}, // no address of this host
	}}))
	again, err := net.Listen("tcp4", at.String())
	must(t, err)
	must(t, again.Close())
}
