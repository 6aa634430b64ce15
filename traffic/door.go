package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// door is the socket of a port: a listener for TCP, packets for UDP.
type door struct {
	listener net.Listener
	packets  net.PacketConn
}

// openDoor listens where port says, or goes on listening with the socket of a
// predecessor, which it takes.
func openDoor(ctx context.Context, port Port, inherited *os.File) (door, error) {
	if inherited != nil {
		d, err := inheritDoor(port, inherited)
		if err = errors.Join(err, inherited.Close()); err != nil {
			return door{}, fmt.Errorf("take over %s: %w", port.Key(), err)
		}
		return d, nil
	}
	// A 4 or 6 keeps the wildcard of one family from being that of both.
	family := "6"
	if port.Address.Addr().Is4() {
		family = "4"
	}
	var d door
	var err error
	if port.Network == UDP {
		d.packets, err = (&net.ListenConfig{}).ListenPacket(ctx, "udp"+family, port.Address.String())
	} else {
		d.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp"+family, port.Address.String())
	}
	return d, err
}

func inheritDoor(port Port, f *os.File) (d door, err error) {
	if port.Network == UDP {
		d.packets, err = net.FilePacketConn(f)
	} else {
		d.listener, err = net.FileListener(f)
	}
	return d, err
}

// file duplicates the socket.
func (d door) file() (*os.File, error) {
	var f interface{ File() (*os.File, error) }
	var ok bool
	if d.packets != nil {
		f, ok = d.packets.(*net.UDPConn)
	} else {
		f, ok = d.listener.(*net.TCPListener)
	}
	if !ok {
		return nil, errors.New("it is no socket of the kernel's")
	}
	return f.File()
}

// shut takes nothing more in. With toSuccessor the packets of sessions that there are
// can still be sent; without, the address is free when it returns.
func (d door) shut(toSuccessor bool) error {
	switch {
	case d.listener != nil:
		return d.listener.Close()
	case toSuccessor:
		return d.packets.SetReadDeadline(time.Unix(1, 0))
	}
	return d.packets.Close()
}

// ends is a TCP address without what makes an IPv4 address look like an IPv6 one.
func ends(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	at := tcp.AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
