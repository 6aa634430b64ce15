package rollout_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"davit/reconcile"
	"davit/rollout"
)

func TestWhoHasAPortIsNamed(t *testing.T) {
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer tcp.Close()
	everywhere, err := net.Listen("tcp", ":0")
	must(t, err)
	defer everywhere.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	must(t, err)
	defer udp.Close()
	name, err := os.ReadFile("/proc/self/comm")
	must(t, err)
	self := fmt.Sprintf("%s (process %d)", name[:len(name)-1], os.Getpid())
	port := func(network string, a net.Addr, ip string) reconcile.HostPort {
		h := reconcile.HostPort{Network: network, Port: netip.MustParseAddrPort(a.String()).Port()}
		if ip != "" {
			h.IP = netip.MustParseAddr(ip)
		}
		return h
	}
	for what, c := range map[string]struct {
		port reconcile.HostPort
		want string
	}{
		"at its address":         {port("tcp", tcp.Addr(), "127.0.0.1"), self},
		"at all addresses":       {port("tcp", tcp.Addr(), ""), self},
		"at another address":     {port("tcp", tcp.Addr(), "127.0.0.2"), ""},
		"where it is everywhere": {port("tcp", everywhere.Addr(), "127.0.0.2"), self},
		"of UDP":                 {port("udp", udp.LocalAddr(), "127.0.0.1"), self},
	} {
		if got := rollout.PortHolder(c.port); got != c.want {
			t.Errorf("%s: %q, not %q", what, got, c.want)
		}
	}
	must(t, tcp.Close())
	if got := rollout.PortHolder(port("tcp", tcp.Addr(), "")); got != "" {
		t.Errorf("a port that was closed is held by %q", got)
	}
}
