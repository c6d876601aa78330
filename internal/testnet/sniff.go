package testnet

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// sniffBuffer holds what arrives while a sniffer waits for its turn.
const sniffBuffer = 16 << 20

// Sniff says what a sniffer looks at.
type Sniff struct {
	// Place names the observer in sightings.
	Place string
	// Protocol is an EtherType; zero means every frame. The difference is more
	// than a filter: the kernel shows all frames to a sniffer of everything
	// before nftables' ingress chains, sent ones too, and to a sniffer of one
	// protocol only what those chains let into the host.
	Protocol uint16
	// Skip leaves links out, by index.
	Skip func(ifindex int) bool
}

// Sniff records tokens in the frames of every link of the namespace, present
// and future. A VLAN tag that the kernel moved out of a frame is of no
// consequence, because only the tokens are looked for.
func (n *NS) Sniff(r *Recorder, s Sniff) {
	n.t.Helper()
	proto := s.Protocol
	if proto == 0 {
		proto = unix.ETH_P_ALL
	}
	file, err := n.openSocket(unix.AF_PACKET, int(bigEndian(proto)), nil)
	must(n.t, err, "sniffer in %s", n.label)
	names := linkNames{ns: n, cache: map[int]string{}}
	n.readAll(file, func(from unix.Sockaddr, data []byte) {
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || s.Skip != nil && s.Skip(ll.Ifindex) {
			return
		}
		detail := fmt.Sprintf("frame %s type %04x", packetType(ll.Pkttype), bigEndian(ll.Protocol))
		r.Note(Sighting{Place: s.Place, Link: names.of(ll.Ifindex), Detail: detail}, data)
	})
}

// openSocket opens a raw socket in the namespace, for use with readAll, and
// binds it unless told to take everything.
func (n *NS) openSocket(family, proto int, bind unix.Sockaddr) (*os.File, error) {
	var file *os.File
	err := n.Do(func() error {
		fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
		if err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sniffBuffer)
		if bind != nil {
			if err := unix.Bind(fd, bind); err != nil {
				unix.Close(fd)
				return err
			}
		}
		file = os.NewFile(uintptr(fd), "raw")
		return nil
	})
	return file, err
}

// readAll hands everything that a raw socket receives to fn until the test ends.
func (n *NS) readAll(file *os.File, fn func(from unix.Sockaddr, data []byte)) {
	conn, err := file.SyscallConn()
	must(n.t, err, "raw socket in %s", n.label)
	done := make(chan struct{})
	n.t.Cleanup(func() { file.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		_ = conn.Read(func(fd uintptr) bool {
			for {
				size, from, err := unix.Recvfrom(int(fd), buf, 0)
				switch err {
				case nil:
					fn(from, buf[:size])
				case unix.EAGAIN:
					return false
				case unix.EINTR, unix.ENETDOWN, unix.ENOBUFS:
				default:
					return true
				}
			}
		})
	}()
}

// linkNames remembers the names of links, which may be gone when asked for.
type linkNames struct {
	ns    *NS
	mu    sync.Mutex
	cache map[int]string
}

func (l *linkNames) of(index int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name, ok := l.cache[index]; ok {
		return name
	}
	name := fmt.Sprintf("#%d", index)
	if link, err := l.ns.Handle().LinkByIndex(index); err == nil {
		name = link.Attrs().Name
	}
	l.cache[index] = name
	return name
}

func packetType(t uint8) string {
	switch t {
	case unix.PACKET_HOST:
		return "to host"
	case unix.PACKET_BROADCAST:
		return "broadcast"
	case unix.PACKET_MULTICAST:
		return "multicast"
	case unix.PACKET_OTHERHOST:
		return "to another"
	case unix.PACKET_OUTGOING:
		return "sent"
	}
	return fmt.Sprintf("kind %d", t)
}

// bigEndian turns a number into network order, and back.
func bigEndian(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}
