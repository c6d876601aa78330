package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// Neighbour is an address on a link, and the hardware address that it has there.
type Neighbour struct {
	IP  netip.Addr
	MAC topology.HardwareAddr
}

// Answer sends ARP replies over a wire to the endpoint at its other end. A kernel that still waits for one takes it and
// sends what it kept; another one passes it over. A socket for packets needs CAP_NET_RAW, which managed plugins of
// Docker have as its containers have it.
func (l *Links) Answer(wire string, to Neighbour, about ...Neighbour) error {
	found, err := l.Find(wire)
	if err != nil {
		return err
	}
	return l.ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // 0: it receives nothing
		if err != nil {
			return fmt.Errorf("socket for packets: %w", err)
		}
		failed := []error{}
		for _, a := range about {
			failed = append(failed, unix.Sendto(fd, arpReply(a, to), unix.MSG_DONTWAIT, &unix.SockaddrLinklayer{Ifindex: found.Index}))
		}
		return errors.Join(append(failed, unix.Close(fd))...)
	})
}

// arpReply is a frame that tells one neighbour the hardware address of another (RFC 826).
func arpReply(about, to Neighbour) []byte {
	frame := append(append([]byte(nil), to.MAC...), about.MAC...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_ARP)
	frame = binary.BigEndian.AppendUint16(frame, unix.ARPHRD_ETHER)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
	frame = append(frame, byte(len(about.MAC)), 4)
	frame = binary.BigEndian.AppendUint16(frame, 2) // a reply
	frame = append(append(frame, about.MAC...), about.IP.AsSlice()...)
	return append(append(frame, to.MAC...), to.IP.AsSlice()...)
}
