package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// packets is a UDP socket that knows to which address of this host a datagram was
// sent: an answer that comes from another one is none.
type packets struct {
	conn *net.UDPConn
	// control is where the kernel says it.
	control []byte
}

// flow is what a UDP session is known by.
type flow struct {
	client netip.AddrPort
	// local is the address of this host that the client sent to, link its interface for
	// an address that means nothing without.
	local netip.Addr
	link  uint32
}

func newPackets(conn net.PacketConn) (*packets, error) {
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return nil, errors.New("it is no socket of the kernel's")
	}
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, err
	}
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if at, ok := udp.LocalAddr().(*net.UDPAddr); ok && at.IP.To4() == nil {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, 1) })
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("ask for the address that datagrams are sent to: %w", err)
	}
	return &packets{conn: udp, control: make([]byte, 128)}, nil
}

// receive reads a datagram. One caller at a time.
func (p *packets) receive(b []byte) (int, flow, error) {
	n, size, _, from, err := p.conn.ReadMsgUDPAddrPort(b, p.control)
	if err != nil {
		return 0, flow{}, err
	}
	f := flow{client: from}
	f.local, f.link = sentTo(p.control[:size])
	return n, f, nil
}

// sentTo reads the address that a datagram was sent to from what the kernel says.
func sentTo(control []byte) (local netip.Addr, link uint32) {
	for len(control) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return netip.Addr{}, 0
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			if local = netip.AddrFrom4([4]byte(data[4:8])); local.IsUnspecified() {
				local = netip.AddrFrom4([4]byte(data[8:12])) // it came before the kernel was asked
			}
			return local, 0
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			local = netip.AddrFrom16([16]byte(data[:16]))
			if local.IsLinkLocalUnicast() {
				link = binary.NativeEndian.Uint32(data[16:20])
			}
			return local, link
		}
		control = rest
	}
	return netip.Addr{}, 0
}

// answer sends a datagram to the flow's client, from where that had sent to.
func (p *packets) answer(f flow, datagram []byte) error {
	var control []byte
	switch {
	case f.local.Is4():
		control = unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: f.local.As4()})
	case f.local.Is6():
		control = unix.PktInfo6(&unix.Inet6Pktinfo{Addr: f.local.As16(), Ifindex: f.link})
	}
	_, _, err := p.conn.WriteMsgUDPAddrPort(datagram, control, f.client)
	return err
}
