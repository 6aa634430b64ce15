package rollout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"davit/reconcile"
)

// Ports is the Preflight that refuses a plan which opens host ports that another
// program has, be it for the edge or for Docker. It takes each for a moment to find
// out, which says nothing where this process is in a network of its own.
type Ports struct{}

var _ Preflight = Ports{}

// Check implements Preflight.
func (Ports) Check(ctx context.Context, plan reconcile.Plan) error {
	for _, h := range plan.Opens {
		for _, address := range listened(h) {
			if taken(ctx, h.Network, address) {
				return held(fmt.Errorf("host port %s is taken by another program; nothing was changed", h), h)
			}
		}
	}
	return nil
}

// held says of an error about a port who has it, or how to find out.
func held(err error, h reconcile.HostPort) error {
	if who := PortHolder(h); who != "" {
		return reconcile.WithHint(err, "%s has it: stop that, or publish another port", who)
	}
	return reconcile.WithHint(err, "find out who has it: ss -lnp 'sport = %d'", h.Port)
}

// listened are the addresses at which the port is listened on.
func listened(h reconcile.HostPort) []netip.AddrPort {
	if h.IP.IsValid() {
		return []netip.AddrPort{netip.AddrPortFrom(h.IP, h.Port)}
	}
	return []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), h.Port), netip.AddrPortFrom(netip.IPv6Unspecified(), h.Port)}
}

// taken reports whether somebody listens there. That this process may not, or that the
// host has no such address, is for whoever does to find out.
func taken(ctx context.Context, network string, address netip.AddrPort) bool {
	family := "4"
	if address.Addr().Is6() {
		family = "6" // of that family alone, as the edge does it
	}
	var open io.Closer
	var err error
	if network == "udp" {
		open, err = (&net.ListenConfig{}).ListenPacket(ctx, network+family, address.String())
	} else {
		open, err = (&net.ListenConfig{}).Listen(ctx, network+family, address.String())
	}
	if err == nil {
		open.Close()
	}
	return errors.Is(err, syscall.EADDRINUSE)
}
