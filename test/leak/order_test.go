package leak

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// change is something that happens to a network while the attacker storms.
type change struct {
	name  string
	times int
	do    func()
}

// enough frames for a storm.
const enough = 500

// changes are what every fabric can do.
func changes(seat Seat, f Fabric, storm *Storm) []change {
	again := func(m Member, role Role) func() {
		return func() {
			f.Detach(m)
			time.Sleep(5 * time.Millisecond)
			f.Attach(m.NS, m.IP, role)
			storm.Own()
			time.Sleep(10 * time.Millisecond)
		}
	}
	return []change{
		{"attacker comes and goes", 10, again(seat.Attacker, ServerRole)},
		{"gateway comes and goes", 5, again(seat.Gateway, GatewayRole)},
		{"neighbour comes and goes", 5, again(seat.Neighbour, ServerRole)},
	}
}

// TestOrder has containers come and go, the engine restart and rules vanish
// while the attacker storms (P8).
func TestOrder(t *testing.T) {
	t.Parallel()
	seat, f := NewSeat(t, "mcpnet", NewMcpnet(t, nil))
	m := f.(*Mcpnet)
	storm := StartStorm(t, seat)
	defer storm.Stop()
	all := append(changes(seat, f, storm),
		change{"engine restarts", 3, m.Restart},
		change{"bridge goes down", 1, func() {
			m.Space().Run("ip", "link", "set", m.Bridge(), "down")
			m.Space().Run("ip", "link", "set", m.Bridge(), "up")
		}},
		change{"router goes down", 1, func() {
			m.Space().Run("ip", "link", "set", topology.Router, "down")
			m.reconcile()
		}},
		change{"uplink is deleted", 1, func() {
			seat.World.Host.Run("ip", "link", "delete", m.Bridge())
			m.reconcile()
		}},
		change{"host's rules flushed", 2, func() {
			seat.World.Host.Run("nft", "flush", "ruleset")
			m.reconcile()
		}},
		change{"iptables flushed and repaired", 2, func() {
			seat.World.Host.Run("iptables", "-w", "-F")
			m.reconcile()
		}})
	storm.through(t, all)
}

// through brings changes about, in none of which anything may leak.
func (s *Storm) through(t *testing.T, all []change) {
	t.Helper()
	for _, c := range all {
		leaks, frames := s.during(c)
		if frames < enough {
			t.Errorf("%s: the attacker sent %d frames, want %d", c.name, frames, enough)
		}
		for _, leak := range leaks {
			t.Errorf("%s: %s %s %s", c.name, leak.Place, leak.Link, leak.Detail)
		}
		t.Logf("%s, %d times: %d frames, %d leaks", c.name, c.times, frames, len(leaks))
	}
}

// TestOrderPerCall is TestOrder where each attachment is a process of its own. The rules that are gone come back with
// the next container, under the storm. Behind another plugin the interface is that one's until mcpnet is called, so
// that a storm from before the container runs shows nothing of mcpnet's.
func TestOrderPerCall(t *testing.T) {
	for name, fabric := range map[string]func(testnet.T, map[string]string) func(*testnet.World) Fabric{
		"cni": NewCNI, "netavark": NewNetavark,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seat, f := NewSeat(t, name, fabric(t, nil))
			storm := StartStorm(t, seat)
			defer storm.Stop()
			all := changes(seat, f, storm)
			for i := range all {
				all[i].times = 3
			}
			storm.through(t, append(all, change{"rules flushed, neighbour comes anew", 3, func() {
				f.Space().Run("nft", "flush", "ruleset")
				f.Detach(seat.Neighbour)
				f.Attach(seat.Neighbour.NS, seat.Neighbour.IP, ServerRole)
			}}))
			if conn, err := seat.Attacker.NS.Dial(t.Context(), "tcp", netip.AddrPortFrom(GatewayIP, GatewayPort)); err != nil {
				t.Errorf("the gateway after the storm: %v", err)
			} else {
				conn.Close()
			}
		})
	}
}

// TestRepair flushes all rules of the network's namespace while the attacker
// storms; nobody sees anything, before they are back and after.
func TestRepair(t *testing.T) {
	t.Parallel()
	seat, f := NewSeat(t, "mcpnet", NewMcpnet(t, nil))
	m := f.(*Mcpnet)
	storm := StartStorm(t, seat)
	defer storm.Stop()
	leaks, frames := storm.during(change{"rules flushed and repaired", 5, func() {
		m.Space().Run("nft", "flush", "ruleset")
		time.Sleep(20 * time.Millisecond)
		m.reconcile()
	}})
	for _, leak := range leaks {
		t.Errorf("%s %s %s", leak.Place, leak.Link, leak.Detail)
	}
	if frames < enough {
		t.Errorf("the attacker sent %d frames, want %d", frames, enough)
	}
	storm.Mark()
	time.Sleep(50 * time.Millisecond)
	if leaks, _ := storm.Leaks(); len(leaks) > 0 {
		t.Errorf("after the repair: %v", leaks)
	}
	t.Logf("%d frames", frames)
}

// TestOrderControl shows that the storm is one.
func TestOrderControl(t *testing.T) {
	t.Parallel()
	seat, f := NewSeat(t, "plain bridge", PlainBridge(t))
	storm := StartStorm(t, seat)
	defer storm.Stop()
	for _, c := range changes(seat, f, storm) {
		c.times = 1
		if leaks, frames := storm.during(c); len(leaks) == 0 {
			t.Errorf("%s: void: %d frames, none seen", c.name, frames)
		}
	}
}

// during brings a change about and tells what leaked meanwhile.
func (s *Storm) during(c change) ([]testnet.Sighting, int) {
	s.Mark()
	for range c.times {
		c.do()
	}
	// Links take up to a second to start after they came up.
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, frames := s.Leaks(); frames >= enough {
			break
		}
	}
	time.Sleep(20 * time.Millisecond)
	return s.Leaks()
}

func (m *Mcpnet) reconcile() {
	m.t.Helper()
	_, err := m.Engine.Reconcile(context.Background())
	m.must(err, "reconcile")
}

// TestGatewayAbsent asks for an answer when nobody is at the gateway's
// address, and when somebody is who did not ask for it.
func TestGatewayAbsent(t *testing.T) {
	t.Parallel()
	seat, f := NewSeat(t, "mcpnet", NewMcpnet(t, nil))
	f.Detach(seat.Gateway)
	control := NewControl(t)
	expect := func(when string, ports ...uint16) {
		for _, port := range ports {
			q := question{fmt.Sprintf("%s-%d", when, port), "tcp", netip.AddrPortFrom(GatewayIP, port), refused}
			if a := q.ask(seat.Attacker.NS, control); !a.OK {
				t.Errorf("%s: %s after %v, want %s within %v", a.ID, a.Got, a.Took, a.Want, a.Limit)
			}
		}
	}
	expect("absent", GatewayPort, 22)

	impostor := f.Attach(testnet.New(t, "impostor"), GatewayIP, CandidateRole)
	r := testnet.NewRecorder()
	impostor.NS.Sniff(r, testnet.Sniff{Place: "impostor"})
	impostor.NS.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), GatewayPort))
	expect("impostor", GatewayPort, 22)
	if seen := sendPermitted(t, seat, impostor, r); len(seen) > 0 {
		t.Errorf("an impostor sees %v", seen)
	}
	f.Detach(impostor)

	gateway := f.Attach(testnet.New(t, "gateway2"), GatewayIP, GatewayRole)
	gateway.NS.Sniff(r, testnet.Sniff{Place: "gateway"})
	gateway.NS.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), GatewayPort))
	// The kernel may take a second to start the queues of a link that came up.
	for deadline := time.Now().Add(5 * time.Second); len(sendPermitted(t, seat, gateway, r)) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the next gateway sees nothing")
		}
	}
	conn, err := seat.Attacker.NS.Dial(t.Context(), "tcp", netip.AddrPortFrom(GatewayIP, GatewayPort))
	if err != nil {
		t.Fatalf("the next gateway cannot be reached: %v", err)
	}
	conn.Close()
}

// sendPermitted writes a permitted segment and tells who saw it.
func sendPermitted(t *testing.T, seat Seat, at Member, r *testnet.Recorder) []testnet.Sighting {
	t.Helper()
	s, err := openSender(seat.Attacker.NS, seat.Attacker.Link)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	token := testnet.NewToken()
	p := packet{from: seat.Attacker.NS.MAC(seat.Attacker.Link), to: at.NS.MAC(at.Link), src: seat.Attacker.IP, dst: at.IP}
	if err := s.send(p.tcp(40000, GatewayPort, syn, token).frame()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	return r.Of(token)
}
