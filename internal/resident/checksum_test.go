package resident_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// noTxChecksum makes a link as a card without checksum offload is.
func noTxChecksum(t *testing.T, in *testnet.NS, link string) {
	t.Helper()
	err := in.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		value := struct{ cmd, data uint32 }{0x17, 0} // ETHTOOL_STXCSUM
		var req struct {
			name [16]byte
			data unsafe.Pointer
			pad  [16]byte
		}
		copy(req.name[:], link)
		req.data = unsafe.Pointer(&value)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const ones = 65535

func words(b []byte) (sum int) {
	if len(b)%2 == 1 {
		b = append(append([]byte(nil), b...), 0)
	}
	for i := 0; i < len(b); i += 2 {
		sum += int(binary.BigEndian.Uint16(b[i:]))
	}
	return sum % ones
}

func mod(v int) int { return ((v % ones) + ones) % ones }

// TestChecksumIsNoWay: a gateway asks the kernel to put a checksum where the destination's port is. The kernel does so
// before the rules see the packet, not at the host's card behind all of them.
func TestChecksumIsNoWay(t *testing.T) {
	dst := testnet.InternetHost
	f := testhost.NewDocker(t)
	n := f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	src, masq := netip.MustParseAddr("172.20.0.100"), testnet.HostAddr
	const permitted, wanted = 53, 161
	r := testnet.NewRecorder()
	for _, port := range []uint16{permitted, wanted} {
		c, err := f.World.Internet.ListenPacket(netip.AddrPortFrom(dst, port))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			buf := make([]byte, 2048)
			for {
				size, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				t.Logf("port %d got %q from %s", port, buf[:size], from)
				r.Note(testnet.Sighting{Place: map[uint16]string{permitted: "permitted", wanted: "forbidden"}[port]}, buf[:size])
			}
		}()
	}
	noTxChecksum(t, f.World.Host, testnet.Uplink)
	var fd int
	if err := g.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	eth := g.Link("eth0").Attrs()
	send := func(dport uint16, csum bool) string {
		token := testnet.NewToken()
		data := []byte(token)
		if len(data)%2 == 1 {
			data = append(data, '.')
		}
		length := 8 + len(data)
		sport := mod(permitted - (words(masq.AsSlice()) + words(dst.AsSlice()) + 17 + length))
		if sport < 1024 {
			t.Fatalf("source port %d", sport)
		}
		udp := make([]byte, 8, length)
		binary.BigEndian.PutUint16(udp, uint16(sport))
		binary.BigEndian.PutUint16(udp[2:], dport)
		binary.BigEndian.PutUint16(udp[4:], uint16(length))
		udp = append(udp, data...)
		var p frame.IPv4
		vnet := make([]byte, 10)
		if csum {
			final := mod(-(wanted + permitted + length + words(data)))
			binary.BigEndian.PutUint16(udp[6:], uint16(mod(final-words(masq.AsSlice())+words(src.AsSlice()))))
			p = frame.IPv4{Src: src, Dst: dst, Protocol: 17, Payload: udp}
			vnet[0] = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
			binary.NativeEndian.PutUint16(vnet[6:], 36)
			binary.NativeEndian.PutUint16(vnet[8:], 0)
		} else {
			p = frame.IPv4{Src: src, Dst: dst}.UDP(uint16(sport), dport, data)
		}
		out := append(vnet, frame.Ethernet([]byte(n.RouterMAC()), eth.HardwareAddr, frame.TypeIPv4, p.Bytes())...)
		if err := unix.Sendto(fd, out, 0, &unix.SockaddrLinklayer{Ifindex: eth.Index}); err != nil {
			t.Fatal(err)
		}
		return token
	}
	if !r.Wait(send(permitted, false), "permitted", time.Second) {
		t.Error("control: the permitted port is not reached")
	}
	if r.Wait(send(wanted, false), "forbidden", 500*time.Millisecond) {
		t.Error("control: the forbidden port is open")
	}
	if r.Wait(send(permitted, true), "forbidden", time.Second) {
		t.Errorf("the gateway reached port %d", wanted)
	}
}

// TestPublishedAtLoopback: a port that is published at the host's loopback alone, after a flush on the host.
func TestPublishedAtLoopback(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080)
	internet := f.World.Internet
	internet.AddRoute(netip.MustParsePrefix("172.20.0.0/16"), testnet.HostAddr)
	f.World.Host.Run("nft", "flush", "ruleset")
	t.Log("control: flushed, nothing published")
	f.Reaches(internet, "172.20.0.100/8080", false)
	if _, err := f.Front.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{
		{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: 18080, To: netip.AddrPortFrom(netip.Addr{}, 8080)}}))
	f.Reaches(f.World.Host, "127.0.0.1/18080", true)
	f.Reaches(internet, "198.51.100.1/18080", false)
	f.Reaches(internet, "172.20.0.100/8080", false)
	f.World.Host.Run("nft", "flush", "ruleset")
	f.Reaches(internet, "172.20.0.100/8080", false)
}
