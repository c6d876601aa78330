package relay

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Redirected asks the kernel's connection tracking for the destination that a connection had before a rule redirected
// it (SO_ORIGINAL_DST, IPv4). Of a connection that nobody redirected it is the listener's own address.
func Redirected(conn *net.TCPConn) (netip.AddrPort, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return netip.AddrPort{}, err
	}
	var to netip.AddrPort
	var failed error
	if err := raw.Control(func(fd uintptr) { to, failed = originalOf(int(fd)) }); err != nil {
		return netip.AddrPort{}, err
	}
	return to, failed
}

// originalOf reads a struct sockaddr_in. The package unix has no call that returns one; IPv6Mreq begins with as many
// bytes.
func originalOf(fd int) (netip.AddrPort, error) {
	got, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, unix.SO_ORIGINAL_DST)
	if err != nil {
		return netip.AddrPort{}, err
	}
	port := binary.BigEndian.Uint16(got.Multiaddr[2:4])
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(got.Multiaddr[4:8])), port), nil
}
