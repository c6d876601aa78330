package leak

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Storm is an attacker that never waits: it brings up every link that it is
// given, and writes forbidden frames to it, again and again. It is for what
// happens between two states, when containers come and go (P8).
type Storm struct {
	run    *run
	stop   chan struct{}
	wait   sync.WaitGroup
	mu     sync.Mutex
	scene  Scene
	frames int
	own    map[string]bool // links that are the attacker's wire, or were
}

// StartStorm begins. The observers see what the attacker's own wire carries
// too; see Leaks.
func StartStorm(t testnet.T, seat Seat) *Storm {
	t.Helper()
	r := &run{t: &scope{T: t}, recorder: testnet.NewRecorder(), senders: map[Who]*sender{}}
	r.seat = seat.within(r.t)
	r.equip()
	s := &Storm{run: r, stop: make(chan struct{}), scene: seat.scene(), own: map[string]bool{}}
	r.observe()
	s.Own()
	s.Mark()
	s.wait.Go(s.blow)
	return s
}

// Mark gives the storm a new token: what happened so far is of no concern.
func (s *Storm) Mark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scene.Token, s.frames = testnet.NewToken(), 0
}

// Stop ends the storm and what watched it.
func (s *Storm) Stop() {
	close(s.stop)
	s.wait.Wait()
	s.run.t.close()
}

// Own tells the storm that the attacker's wire is a new one. A sniffer does
// not learn the name of a wire that is gone before it could ask.
func (s *Storm) Own() {
	index := s.run.seat.hostWire()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own[fmt.Sprintf("#%d", index)] = true
	if l, err := s.run.seat.World.Host.Handle().LinkByIndex(index); err == nil {
		s.own[l.Attrs().Name] = true
	}
}

// Leaks are the sightings since the last mark, without those of sniffers on
// the attacker's own wire, and how many frames were sent.
func (s *Storm) Leaks() ([]testnet.Sighting, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(s.run.recorder.Of(s.scene.Token), func(seen testnet.Sighting) bool {
		own := Place(seen.Place) == AtHost && s.own[seen.Link]
		return own || Place(seen.Place) == AtAttacker
	}), s.frames
}

func (s *Storm) blow() {
	ns := s.run.seat.Attacker.NS
	fd := -1
	err := ns.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		s.run.t.Logf("storm: %v", err)
		return
	}
	defer unix.Close(fd)
	for {
		select {
		case <-s.stop:
			return
		default:
			s.gust(ns, fd)
			time.Sleep(pace)
		}
	}
}

// gust writes a few frames to every link that is there.
func (s *Storm) gust(ns *testnet.NS, fd int) {
	links, err := ns.Links()
	if err != nil {
		return
	}
	for _, l := range links {
		if l.Attrs().Name == "lo" {
			continue
		}
		_ = ns.Handle().LinkSetUp(l)
		s.mu.Lock()
		scene := s.scene
		scene.Me.MAC = l.Attrs().HardwareAddr
		s.mu.Unlock()
		sent := 0
		for _, f := range forbidden(&scene) {
			if unix.Sendto(fd, f, 0, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}) == nil {
				sent++
			}
		}
		s.mu.Lock()
		if scene.Token == s.scene.Token {
			s.frames += sent
		}
		s.mu.Unlock()
	}
}

// forbidden is a frame against each promise.
func forbidden(s *Scene) [][]byte {
	asGateway := packet{from: s.Gateway.MAC, to: s.Neighbour.MAC, src: s.Gateway.IP, dst: s.Neighbour.IP}
	return [][]byte{
		s.to(s.Net).udp(40000, 9, s.Token).frame(),
		s.to(s.Host).udp(40000, 53, s.Token).frame(),
		s.to6(group("ff02::1")).udp(40000, 53, s.Token).frame(),
		s.to(s.Neighbour).tcp(40000, 80, syn, s.Token).frame(),
		s.to(s.Gateway).tcp(40000, 22, syn, s.Token).frame(),
		asGateway.tcp(s.Port, 40000, ack, s.Token).frame(),
		arp{op: arpRequest, from: s.Me.MAC, fromIP: s.Me.IP, targetIP: s.Neighbour.IP}.frame(broadcast, s.Me.MAC, s.Token),
		ethernet(broadcast, s.Me.MAC, 0x88b5, padded(nil, s.Token)),
	}
}
