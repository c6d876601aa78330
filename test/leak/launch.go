package leak

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// sender writes frames to a link.
type sender struct {
	fd, offload int
	index       int
}

func (r *run) openSenders() {
	for _, who := range []Who{Attacker, Neighbour, Gateway, Host} {
		ns, link := r.seat.namespace(who)
		s, err := openSender(ns, link)
		if err != nil {
			r.t.Fatalf("sender of %s: %v", who, err)
		}
		r.senders[who] = s
		r.t.Cleanup(s.close)
	}
}

func openSender(ns *testnet.NS, link string) (*sender, error) {
	s := &sender{index: ns.Link(link).Attrs().Index}
	err := ns.Do(func() (err error) {
		// Protocol 0: such sockets receive nothing.
		if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if s.offload, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.SetsockoptInt(s.offload, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	})
	return s, err
}

func (s *sender) close() {
	unix.Close(s.fd)
	unix.Close(s.offload)
}

func (s *sender) send(frame []byte) error {
	return unix.Sendto(s.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: s.index})
}

// sendSegmented hands over a UDP datagram with the header that tells the
// kernel to cut it into segments, which virtual links leave to the receiver.
// Before Linux 6.2 the kernel takes one only to be cut into fragments.
func (s *sender) sendSegmented(frame []byte) error {
	const udpFragments, udpSegments = 3, 5
	err := s.sendOffloaded(frame, udpSegments)
	if errors.Is(err, unix.EINVAL) {
		err = s.sendOffloaded(frame, udpFragments)
	}
	return err
}

func (s *sender) sendOffloaded(frame []byte, how byte) error {
	const needsChecksum = 1
	h := []byte{needsChecksum, how}
	for _, v := range []uint16{42, 1400, 34, 6} { // header length, segment size, checksum start and offset
		h = binary.NativeEndian.AppendUint16(h, v)
	}
	return unix.Sendto(s.offload, append(h, frame...), 0, &unix.SockaddrLinklayer{Ifindex: s.index})
}

func (f Frames) launch(r *run, s *Scene) {
	who := f.From
	if who == "" {
		who = Attacker
	}
	send := r.senders[who].send
	if f.Segmented {
		send = r.senders[who].sendSegmented
	}
	r.sendAll(send, f.Build(s))
}

// sendAll writes frames. One that the kernel does not take cannot leak; the
// control shows whether a vector is void for that.
func (r *run) sendAll(send func([]byte) error, frames [][]byte) {
	for _, f := range frames {
		if err := send(f); err != nil {
			r.t.Logf("send %d bytes: %v", len(f), err)
		}
		time.Sleep(pace)
	}
}

func (d Dial) launch(r *run, s *Scene) {
	ns, _ := r.seat.namespace(d.From)
	data := s.Token
	if d.Data != nil {
		data = d.Data(s.Token)
	}
	r.dials.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		conn, err := ns.Dial(ctx, d.Network, d.To(s))
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(data))
		if d.Network == "tcp" {
			r.recorder.Note(testnet.Sighting{
				Place: string(Connected), Detail: conn.LocalAddr().String() + " to " + d.To(s).String(),
			}, []byte(s.Token))
		}
	})
}

func (c Change) launch(r *run, s *Scene) {
	in := &inspector{r}
	r.sendAll(r.senders[Attacker].send, c.Build(s))
	for deadline := time.Now().Add(slowly(noticed)); ; time.Sleep(5 * time.Millisecond) {
		if what := c.Found(s, in); what != "" {
			r.recorder.Note(testnet.Sighting{Place: string(State), Detail: what}, []byte(s.Token))
			return
		}
		if time.Now().After(deadline) {
			return
		}
	}
}

// heal has everybody speak up, so that a bridge learns again where they are.
func (r *run) heal() {
	for who, p := range map[Who]Party{Neighbour: r.scene.Neighbour, Gateway: r.scene.Gateway, Attacker: r.scene.Me} {
		_ = r.senders[who].send(ethernet(broadcast, p.MAC, 0x88b5, make([]byte, 46)))
	}
	time.Sleep(2 * time.Millisecond)
}
