// Package stress sends forbidden and permitted traffic of one server while a test breaks something. It counts what
// leaks, and tells when the permitted traffic stopped and came back.
//
// The forbidden traffic is every frame that package leak knows for an attacker, twice: as it is, and with the hardware
// address of the attacker's own wire in place of the bridge's, since that is where a host would listen once the rules
// are gone. Each vector has a token of its own. A token anywhere but in the attacker's namespace is a leak. The
// permitted traffic is probes: a segment to the gateway at every tick. A probe has arrived when its token is seen in
// another container's namespace.
package stress

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
	"github.com/mcpnet/mcpnet/test/stress/generator"
)

// Traffic is one server's forbidden and permitted traffic, with the observers of both.
type Traffic struct {
	t        testnet.T
	recorder *testnet.Recorder
	load     generator.Load
	vectors  map[string]string // token → vector
	probe    string            // the token of the permitted traffic
	wires    string            // how the names of the network's ends of servers' links begin

	mu     sync.Mutex
	seen   map[string]map[testnet.Sighting]int
	probes []time.Time
}

// New puts observers into the host and on its internet. A frame on a wire is no leak: the wire is where the server
// speaks. wires is how the names of wires begin, on networks that are not mcpnet's.
func New(t testnet.T, w *testnet.World, wires string) *Traffic {
	t.Helper()
	s := &Traffic{t: t, wires: wires, recorder: testnet.NewRecorder(), vectors: map[string]string{},
		probe: testnet.NewToken(), seen: map[string]map[testnet.Sighting]int{}}
	s.recorder.Each = s.note
	w.Internet.Sniff(s.recorder, testnet.Sniff{Place: "internet"})
	s.observe(w.Host, "host")
	return s
}

// observe watches all links of a namespace, and what reaches its IP stack.
func (s *Traffic) observe(in *testnet.NS, place string) {
	in.Sniff(s.recorder, testnet.Sniff{Place: place})
	for _, proto := range []int{
		unix.IPPROTO_UDP, unix.IPPROTO_TCP, unix.IPPROTO_ICMP, unix.IPPROTO_IGMP, unix.IPPROTO_SCTP,
	} {
		in.RecordRaw(s.recorder, place+"'s stack", netip.IPv4Unspecified(), proto)
	}
	for _, proto := range []int{unix.IPPROTO_UDP, unix.IPPROTO_TCP, unix.IPPROTO_ICMPV6} {
		in.RecordRaw(s.recorder, place+"'s stack", netip.IPv6Unspecified(), proto)
	}
}

// networkPlace is where sightings in the network's own namespace are.
const networkPlace = "network"

// Network observes the network's own namespace, if it has one: what is denied goes to its router and no further,
// neither to its uplink nor to its own stack. Observers hold a namespace, which lives as long as they do.
func (s *Traffic) Network(space *testnet.NS) {
	if space != nil {
		s.observe(space, networkPlace)
	}
}

// IsOpenWhenFlushed tells the one leak that a wire without any rules does not stop: a datagram from 0.0.0.0 to
// 255.255.255.255, which the kernel delivers to sockets of the network's namespace before it looks at any route,
// setting or
// source (ip_route_input_slow, brd_input). Nobody but this package has one there, and no answer can come back.
func IsOpenWhenFlushed(leak string) bool {
	vector, places, _ := strings.Cut(leak, ": ")
	elsewhere := func(place string) bool { return !strings.HasPrefix(place, networkPlace+"'s stack") }
	return strings.HasPrefix(vector, "P2/dhcp-discover") && !slices.ContainsFunc(strings.Split(places, ", "), elsewhere)
}

// Container observes a container's namespace, the attacker's own too: what it sent itself is told apart.
func (s *Traffic) Container(ns *testnet.NS) {
	ns.Sniff(s.recorder, testnet.Sniff{Place: "container " + ns.Label()})
}

func (s *Traffic) note(seen testnet.Sighting) {
	if strings.HasPrefix(seen.Link, s.wires) || isRefusal(seen) {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen.Token == s.probe {
		if strings.HasPrefix(seen.Place, "container") && !isSent(seen) {
			s.probes = append(s.probes, now)
		}
		return
	}
	if s.vectors[seen.Token] == "" {
		return // of another Traffic
	}
	if s.seen[seen.Token] == nil {
		s.seen[seen.Token] = map[testnet.Sighting]int{}
	}
	s.seen[seen.Token][seen]++
}

// isRefusal tells what is on its way to the router, which refuses it, or back.
func isRefusal(s testnet.Sighting) bool {
	return s.Place == networkPlace && (s.Link == topology.Router || s.Link == topology.RouterPort)
}

func isSent(s testnet.Sighting) bool { return strings.HasPrefix(s.Detail, "frame sent") }

// Prepare makes the frames for what the attacker knows. wire is the hardware address of its wire's host end.
func (s *Traffic) Prepare(scene leak.Scene, wire net.HardwareAddr) {
	s.load = generator.Load{Always: [][]byte{s.permitted(scene)}}
	s.add("", scene)
	if wire != nil {
		for _, p := range []*leak.Party{
			&scene.Host, &scene.Uplink, &scene.VictimBridge, &scene.Victim, &scene.Net, &scene.Resolver, &scene.Metadata,
		} {
			p.MAC = wire
		}
		s.add(" (to the wire)", scene)
	}
}

// urgent are the vectors in every burst: they show an opening of a few milliseconds.
var urgent = []string{
	"P1/v4-udp-to-internet", "P1/v4-tcp-to-internet", "P1/via-gateway-udp", "P2/all-hosts", "P2/dhcp-discover",
	"P2/from-host", "P2/v6-all-nodes", "P3/broadcast", "P4/permitted-port-udp", "P5/arp-request-host",
	"P5/arp-request-neighbour", "P5/spoof-ip-gateway-to-neighbour",
}

func (s *Traffic) add(suffix string, scene leak.Scene) {
	always := len(s.load.Always)
	for i, v := range leak.Vectors() {
		f, ok := v.Attack.(leak.Frames)
		if !ok || f.Segmented || (f.From != "" && f.From != leak.Attacker) {
			continue
		}
		scene.Nth, scene.Token = i, testnet.NewToken()
		s.vectors[scene.Token] = v.ID + suffix
		frames := f.Build(&scene)
		if slices.Contains(urgent, v.ID) {
			s.load.Always = append(s.load.Always, frames...)
		} else {
			s.load.Rest = append(s.load.Rest, frames...)
		}
	}
	if len(s.load.Always)-always < len(urgent) {
		s.t.Fatalf("stress: package leak has no longer all of %v", urgent)
	}
}

// Text is the load for the program in test/stress/attacker.
func (s *Traffic) Text() string {
	text, err := generator.Encode(s.load)
	if err != nil {
		s.t.Fatalf("stress: %v", err)
	}
	return text
}

// Attack sends from a namespace of the test until it is stopped, or the test ends.
func (s *Traffic) Attack(ctx context.Context, ns *testnet.NS, link string) (stop func()) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var g *generator.Generator
	err := ns.Do(func() (err error) {
		g, err = generator.Open(ctx, link)
		return err
	})
	if err != nil {
		s.t.Fatalf("stress: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer g.Close()
		g.Run(ctx, s.load)
	}()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)
	return stop
}

// Vectors is how many vectors there are.
func (s *Traffic) Vectors() int { return len(s.vectors) }

// Leaks lists every vector that turned up where it must not, with places and counts.
func (s *Traffic) Leaks() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for token, seen := range s.seen {
		sender := map[string]bool{}
		for one := range seen {
			sender[one.Place] = sender[one.Place] || (isSent(one) && strings.HasPrefix(one.Place, "container"))
		}
		var places []string
		byText := func(a, b testnet.Sighting) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
		for _, one := range slices.SortedFunc(maps.Keys(seen), byText) {
			if !sender[one.Place] {
				places = append(places, fmt.Sprintf("%s %s %s ×%d", one.Place, one.Link, one.Detail, seen[one]))
			}
		}
		if len(places) > 0 {
			out = append(out, fmt.Sprintf("%s: %s", s.vectors[token], strings.Join(places, ", ")))
		}
	}
	slices.Sort(out)
	return out
}
