package explain_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/explain"
	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/testtopology"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// scene is a network with a server, its neighbour and a gateway, as the kernel holds it: with one ingress chain for all
// wires, and with one for each.
type scene struct {
	network                    topology.Network
	server, neighbour, gateway topology.Endpoint
	variants                   []firewall.Ruleset
}

var (
	prefixed = firewall.Features{DevicePrefix: true}
	older    = firewall.Features{}
)

func newScene(t testing.TB, o testtopology.Options) scene {
	t.Helper()
	n := testtopology.Network(t, o)
	s := scene{network: n, server: testtopology.Endpoint(n, "a", "172.20.240.1", topology.RoleServer),
		neighbour: testtopology.Endpoint(n, "b", "172.20.240.2", topology.RoleServer), gateway: testtopology.Endpoint(n, "g", "172.20.0.100",
			topology.RoleGateway)}
	return s.of(s.server, s.neighbour, s.gateway)
}

// of is the scene with the guards of these endpoints.
func (s scene) of(endpoints ...topology.Endpoint) scene {
	s.variants = nil
	for _, f := range []firewall.Features{prefixed, older} {
		rules := firewall.CompileNetwork(s.network, f)
		for _, e := range endpoints {
			rules = rules.With(firewall.CompileEndpoint(s.network, e, f))
		}
		s.variants = append(s.variants, rules)
	}
	return s
}

// router is a place beyond the network, which is reached through the router.
func (s scene) router() topology.Endpoint {
	return topology.Endpoint{IP: netip.MustParseAddr("198.51.100.2"), MAC: s.network.RouterMAC()}
}

func decode(from topology.Endpoint, f []byte) explain.Packet {
	return explain.Decode(from.Wire(), from.Group(), f)
}

// answerAny is the answer to a request for an address that the asker is told nothing of: where it would be.
func (s scene) answerAny(ip string) string {
	return "answer " + topology.MACFor(s.network.ID, netip.MustParseAddr(ip)).String() + " by arp-any"
}

func hardware(e topology.Endpoint) net.HardwareAddr { return net.HardwareAddr(e.MAC) }

// ip is a packet from one endpoint to another, in a frame.
func ip(from, to topology.Endpoint, change func(*frame.IPv4)) []byte {
	p := frame.IPv4{Src: from.IP, Dst: to.IP}.TCP(frame.Segment{Src: 40000, Dst: 8080, Flags: frame.SYN})
	if change != nil {
		change(&p)
	}
	return frame.Ethernet(hardware(to), hardware(from), frame.TypeIPv4, p.Bytes())
}

func segment(src, dst uint16, flags byte) func(*frame.IPv4) {
	return func(p *frame.IPv4) { *p = p.TCP(frame.Segment{Src: src, Dst: dst, Flags: flags}) }
}

func datagram(src, dst uint16) func(*frame.IPv4) {
	return func(p *frame.IPv4) { *p = p.UDP(src, dst, []byte("data")) }
}

func arp(from topology.Endpoint, asks string, change func(*frame.ARP)) []byte {
	a := frame.ARP{Op: frame.Request, SrcMAC: hardware(from), Src: from.IP, Dst: netip.MustParseAddr(asks)}
	if change != nil {
		change(&a)
	}
	return frame.Ethernet(frame.Broadcast, hardware(from), frame.TypeARP, a.Bytes())
}

// with changes bytes of a frame.
func with(f []byte, offset int, bytes ...byte) []byte {
	out := append([]byte(nil), f...)
	copy(out[offset:], bytes)
	return out
}

type verdictCase struct {
	name  string
	frame []byte
	want  string // verdict, rule without its network, and where to
}

func (s scene) judge(t *testing.T, from topology.Endpoint, cases []verdictCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, rules := range s.variants {
				if got := describe(explain.Rules(rules, firewall.HookIngress, decode(from, c.frame))); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			}
		})
	}
}

func describe(o explain.Outcome) string {
	text := ""
	switch v := o.Verdict.(type) {
	case firewall.Simple:
		text = string(v)
	case firewall.Forward, firewall.Deliver:
		text = "forward to " + o.Out
	case firewall.AnswerARP:
		text = "answer " + o.Out
	case firewall.ToRouter:
		text = map[int]string{topology.MarkDenied: "refuse", topology.MarkEgress: "egress"}[v.Mark]
	}
	if o.RuleID != "" {
		text += " by " + o.RuleID[len("mcp-secure/"):]
	}
	return text
}

func ping(p *frame.IPv4) { p.Protocol, p.Payload = 1, []byte{8, 0, 0, 0} }

func TestExplainServer(t *testing.T) {
	s := newScene(t, nil)
	a, g, b := s.server, s.gateway, s.neighbour
	valid := ip(a, g, nil)
	other := testtopology.Endpoint(s.network, "x", "172.20.9.9", topology.RoleServer)
	toGateway := "forward to " + g.Wire() + " by "
	s.judge(t, a, []verdictCase{
		{"connects to the gateway", valid, toGateway + "gateway-tcp"},
		{"sends data to the gateway", ip(a, g, segment(40000, 8080, frame.ACK|frame.PSH)), toGateway + "gateway-tcp"},
		{"do not fragment", ip(a, g, func(p *frame.IPv4) { p.Frag = 0x4000 }), toGateway + "gateway-tcp"},
		{"wrong port", ip(a, g, segment(40000, 8081, frame.SYN)), "refuse by closed-port"},
		{"wrong protocol", ip(a, g, datagram(40000, 8080)), "refuse by closed-port"},
		{"ICMP to the gateway", ip(a, g, ping), "refuse by closed-port"},
		{"neighbour", ip(a, b, nil), "refuse by no-neighbour"},
		{"neighbour's MAC, gateway's address", with(valid, 0, b.MAC...), "refuse by closed-port"},
		{"outside through the gateway", with(valid, 14+16, 198, 51, 100, 2), "refuse by no-neighbour"},
		{"outside through the router", ip(a, s.router(), nil), "refuse by no-neighbour"},
		{"the router", with(ip(a, s.router(), nil), 14+16, 172, 20, 0, 1), "refuse by no-neighbour"},
		{"everybody", with(valid, 0, frame.Broadcast...), "drop by no-ipv4"},
		{"a group", with(ip(a, b, nil), 0, 1, 0, 0x5e, 0, 0, 1), "drop by no-ipv4"},
		{"foreign MAC", with(valid, 6, other.MAC...), "drop by not-own"},
		{"foreign address", with(valid, 14+12, other.IP.AsSlice()...), "drop by not-own"},
		{"gateway's address", with(valid, 14+12, g.IP.AsSlice()...), "drop by not-own"},
		{"router's address", with(with(valid, 6, s.network.RouterMAC()...), 14+12, 172, 20, 0, 1), "drop by not-own"},
		{"first fragment", ip(a, g, func(p *frame.IPv4) { p.Frag = 0x2000 }), "drop by no-ipv4"},
		{"later fragment", ip(a, g, func(p *frame.IPv4) { p.Frag = 0x0001 }), "drop by no-ipv4"},
		{"options", ip(a, g, func(p *frame.IPv4) { p.Options = []byte{1, 1, 1, 1} }), "drop by no-ipv4"},
		{"version 6 in an IPv4 frame", with(valid, 14, 0x65), "drop by no-ipv4"},
		{"length beyond the frame", with(valid, 14+2, 0xff, 0xff), "refuse by closed-port"},
		{"reply to nobody", ip(a, g, segment(3000, 50000, frame.ACK)), "refuse by closed-port"},
		{"VLAN", frame.Tagged(valid, frame.TypeVLAN, 5), "drop by not-own"},
		{"priority tag", frame.Tagged(valid, frame.TypeVLAN, 0), "drop by not-own"},
		{"QinQ", frame.Tagged(valid, frame.TypeQinQ, 5), "drop by not-own"},
		{"IPv6", frame.Ethernet(hardware(g), hardware(a), frame.TypeIPv6, make([]byte, 40)), "drop by not-own"},
		{"LLDP", frame.Ethernet(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0xe}, hardware(a), 0x88cc, make([]byte, 40)),
			"drop by not-own"},
		{"nothing but a header", valid[:14], "drop by not-own"},
		{"half an IP header", valid[:24], "drop by not-own"},
		{"half a TCP header", with(valid[:14+20+2], 14+2, 0, 22), "refuse by closed-port"},
	})
}

func TestExplainServerARP(t *testing.T) {
	s := newScene(t, nil)
	a, g, b := s.server, s.gateway, s.neighbour
	asks := arp(a, "172.20.0.100", nil)
	s.judge(t, a, []verdictCase{
		{"asks for the gateway", asks, "answer " + g.MAC.String() + " by arp-gateway"},
		{"asks for a neighbour", arp(a, "172.20.240.2", nil), s.answerAny("172.20.240.2")},
		{"asks for the router", arp(a, "172.20.0.1", nil), s.answerAny("172.20.0.1")},
		{"asks for nobody", arp(a, "172.20.77.77", nil), s.answerAny("172.20.77.77")},
		{"asks for itself", arp(a, "172.20.240.1", nil), "drop by arp-own"},
		{"announces itself", arp(a, "172.20.240.1", func(m *frame.ARP) { m.Op = frame.Reply }), "drop by arp-own"},
		{"asks whether its address is free", arp(a, "172.20.240.1", func(m *frame.ARP) { m.Src = netip.IPv4Unspecified() }), "drop by arp-probe"},
		{"asks whether another's is free", arp(a, "172.20.240.2", func(m *frame.ARP) { m.Src = netip.IPv4Unspecified() }), "drop by not-own"},
		{"the same with another MAC inside", arp(a, "172.20.240.1", func(m *frame.ARP) { m.Src, m.SrcMAC = netip.IPv4Unspecified(), hardware(b) }), "drop by not-own"},
		{"answers nobody", arp(a, "172.20.0.100", func(m *frame.ARP) { m.Op = frame.Reply }), "drop by no-arp"},
		{"with the gateway's address", arp(a, "172.20.240.2", func(m *frame.ARP) { m.Src = g.IP }), "drop by not-own"},
		{"with a neighbour's MAC inside", arp(a, "172.20.0.100", func(m *frame.ARP) { m.SrcMAC = hardware(b) }),
			"drop by not-own"},
		{"with a neighbour's MAC outside", with(asks, 6, b.MAC...), "drop by not-own"},
		{"for other hardware", with(asks, 14, 0, 6), "drop by no-arp"},
		{"for other addresses", with(asks, 16, 0x86, 0xdd), "drop by no-arp"},
		{"cut short", asks[:14+20], "drop by no-arp"},
	})
}

func TestExplainGateway(t *testing.T) {
	s := newScene(t, nil)
	a, g, router := s.server, s.gateway, s.router()
	toServer := "forward to " + a.Wire() + " by "
	s.judge(t, g, []verdictCase{
		{"answers", ip(g, a, segment(8080, 40000, frame.SYN|frame.ACK)), toServer + "answer-tcp"},
		{"refuses", ip(g, a, segment(8080, 40000, frame.RST|frame.ACK)), toServer + "answer-tcp"},
		{"connects", ip(g, a, segment(50000, 3000, frame.SYN)), toServer + "connect"},
		{"connects from its own port", ip(g, a, segment(8080, 3000, frame.SYN)), toServer + "connect"},
		{"sends what nobody asked for", ip(g, a, segment(50000, 3000, frame.ACK)), "refuse by closed-server"},
		{"pings a server", ip(g, a, ping), "refuse by closed-server"},
		{"UDP to a server", ip(g, a, datagram(8080, 40000)), "refuse by closed-server"},
		{"a fragment to a server", ip(g, a, func(p *frame.IPv4) { p.Frag = 0x2000 }), "drop by gateway-no-ipv4"},
		{"everybody", with(ip(g, a, nil), 0, frame.Broadcast...), "drop by gateway-no-ipv4"},
		{"egress", ip(g, router, nil), "egress by to-router"},
		{"egress with a fragment", ip(g, router, func(p *frame.IPv4) { p.Frag = 0x2000 }), "egress by to-router"},
		{"as a server", with(ip(g, router, nil), 14+12, a.IP.AsSlice()...), "drop by gateway-not-own"},
		{"as the router", with(with(ip(g, a, nil), 6, router.MAC...), 14+12, 172, 20, 0, 1), "drop by gateway-not-own"},
		{"asks for a server", arp(g, "172.20.240.1", nil), "answer " + a.MAC.String() + " by arp-server"},
		{"asks for the router", arp(g, "172.20.0.1", nil), s.answerAny("172.20.0.1")},
		{"asks for nobody", arp(g, "172.20.77.77", nil), s.answerAny("172.20.77.77")},
		{"asks for itself", arp(g, "172.20.0.100", nil), "drop by arp-own"},
		{"asks whether its address is free", arp(g, "172.20.0.100", func(m *frame.ARP) { m.Src = netip.IPv4Unspecified() }), "drop by gateway-arp-probe"},
		{"asks whether a server's is free", arp(g, "172.20.240.1", func(m *frame.ARP) { m.Src = netip.IPv4Unspecified() }), "drop by gateway-not-own"},
		{"answers ARP", arp(g, "172.20.240.1", func(m *frame.ARP) { m.Op = frame.Reply }), "drop by gateway-no-arp"},
		{"asks as a server", arp(g, "172.20.240.1", func(m *frame.ARP) { m.Src = a.IP }), "drop by gateway-not-own"},
		{"IPv6", frame.Ethernet(hardware(a), hardware(g), frame.TypeIPv6, make([]byte, 40)), "drop by gateway-not-own"},
		{"VLAN", frame.Tagged(ip(g, a, segment(8080, 40000, frame.ACK)), frame.TypeVLAN, 5), "drop by gateway-not-own"},
	})
}

// TestExplainGroup: the group of a wire and the identity behind it have to agree. A wire that is in the other group
// passes nothing.
func TestExplainGroup(t *testing.T) {
	s := newScene(t, nil)
	a, g := s.server, s.gateway
	for what, c := range map[string]struct {
		wire  string
		group uint32
		frame []byte
		want  string
	}{
		"a gateway in no group": {g.Wire(), topology.GroupServer, ip(g, a, segment(8080, 40000, frame.ACK)),
			"drop by not-own"},
		"its ARP":             {g.Wire(), topology.GroupServer, arp(g, "172.20.240.1", nil), "drop by not-own"},
		"a server in a group": {a.Wire(), topology.GroupGateway, ip(a, s.neighbour, nil), "drop by gateway-not-own"},
		"a server, from a port": {a.Wire(), topology.GroupGateway, ip(a, s.neighbour, segment(8080, 1, frame.ACK)),
			"drop by gateway-not-own"},
		"a server as a gateway": {a.Wire(), topology.GroupGateway, ip(g, s.neighbour, segment(8080, 1, frame.ACK)),
			"drop by gateway-not-own"},
		"a server's ARP": {a.Wire(), topology.GroupGateway, arp(a, "172.20.0.100", nil),
			"drop by gateway-not-own"},
		"a server of no meaning": {a.Wire(), 7, ip(a, g, nil), "forward to " + g.Wire() + " by gateway-tcp"},
	} {
		for _, rules := range s.variants {
			if got := describe(explain.Rules(rules, firewall.HookIngress,
				explain.Decode(c.wire, c.group, c.frame))); got != c.want {
				t.Errorf("%s: got %s, want %s", what, got, c.want)
			}
		}
	}
}

func TestExplainConnection(t *testing.T) {
	s := newScene(t, nil)
	a, g := s.server, s.gateway
	for _, rules := range s.variants {
		step := func(from topology.Endpoint, f []byte, want string) {
			t.Helper()
			o := explain.Rules(rules, firewall.HookIngress, decode(from, f))
			if got := describe(o); got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
			rules = explain.After(rules, o)
		}
		step(a, ip(a, g, segment(3000, 50000, frame.SYN|frame.ACK)), "refuse by closed-port")
		step(g, ip(g, a, segment(50000, 3000, frame.SYN)), "forward to "+a.Wire()+" by connect")
		step(a, ip(a, g, segment(3000, 50000, frame.SYN|frame.ACK)), "forward to "+g.Wire()+" by reply")
		step(a, ip(a, g, segment(3000, 50000, frame.SYN)), "refuse by closed-port")
		step(a, ip(a, g, segment(3000, 50001, frame.ACK)), "refuse by closed-port")
		step(g, ip(g, a, segment(50000, 3000, frame.ACK)), "forward to "+a.Wire()+" by connected")
		step(g, ip(g, a, segment(50000, 3000, frame.FIN|frame.ACK)), "forward to "+a.Wire()+" by connect-close")
		step(a, ip(a, g, segment(3000, 50000, frame.FIN|frame.ACK)), "forward to "+g.Wire()+" by reply-closing")
		step(g, ip(g, a, segment(50000, 3000, frame.ACK)), "forward to "+a.Wire()+" by connect-closing")
	}
}

// TestExplainReset: a server's reset is the last that a gateway's connection sees, so it ends the element's life.
func TestExplainReset(t *testing.T) {
	s := newScene(t, nil)
	for _, rules := range s.variants {
		rules = explain.After(rules, explain.Rules(rules, firewall.HookIngress,
			decode(s.gateway, ip(s.gateway, s.server, segment(50000, 3000, frame.SYN)))))
		if flows, _ := rules.Set(firewall.NetDev, "flows"); len(flows.Elements) != 1 {
			t.Fatalf("remembered: %v", flows.Elements)
		}
		reset := explain.Rules(rules, firewall.HookIngress, decode(s.server,
			ip(s.server, s.gateway, segment(3000, 50000, frame.RST))))
		if got, want := describe(reset), "forward to "+s.gateway.Wire()+" by reply-reset"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if flows, _ := explain.After(rules, reset).Set(firewall.NetDev, "flows"); len(flows.Elements) > 0 {
			t.Errorf("still remembered: %v", flows.Elements)
		}
	}
}

// TestExplainRemembersWithoutDeciding holds the simulator to the kernel: what a rule's statements did stays done when
// its map lacks the key and the next rule is tried.
func TestExplainRemembersWithoutDeciding(t *testing.T) {
	s := newScene(t, nil)
	f := with(ip(s.gateway, s.server, segment(50000, 3000, frame.SYN)), 0, s.neighbour.MAC...)
	for _, rules := range s.variants {
		o := explain.Rules(rules, firewall.HookIngress, decode(s.gateway, f))
		if got := describe(o); got != "refuse by closed-server" {
			t.Errorf("got %s", got)
		}
		want := map[string]firewall.Element{"flows": {Key: []string{"172.20.240.1", "3000", "172.20.0.100", "50000"}}}
		if diff := cmp.Diff(want, o.Remembered); diff != "" {
			t.Error(diff)
		}
	}
}
