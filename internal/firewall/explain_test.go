package firewall_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// scene is a network with a server, its neighbour and a gateway, as the kernel holds it.
type scene struct {
	network                    topology.Network
	server, neighbour, gateway topology.Endpoint
	rules                      firewall.Ruleset
}

func newScene(t testing.TB, o options) scene {
	t.Helper()
	n := network(t, o)
	s := scene{network: n, server: endpoint(n, "a", "172.20.240.1", topology.RoleServer),
		neighbour: endpoint(n, "b", "172.20.240.2", topology.RoleServer), gateway: endpoint(n, "g", "172.20.0.100", topology.RoleGateway)}
	s.rules = firewall.CompileNetwork(n, firewall.Features{Reset: true}).With(firewall.CompileEndpoint(n, s.server),
		firewall.CompileEndpoint(n, s.neighbour), firewall.CompileEndpoint(n, s.gateway))
	return s
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
			got := describe(s.rules.Explain(firewall.HookIngress, firewall.Decode(from.Wire(), c.frame)))
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func describe(o firewall.Outcome) string {
	text := ""
	switch v := o.Verdict.(type) {
	case firewall.Simple:
		text = string(v)
	case firewall.Forward:
		text = "forward to " + o.Out
	case firewall.AnswerARP:
		text = "answer " + o.Out
	}
	if o.RuleID != "" {
		text += " by " + o.RuleID[len("mcp-secure/"):]
	}
	return text
}

func TestExplainServer(t *testing.T) {
	s := newScene(t, nil)
	a, g, b := s.server, s.gateway, s.neighbour
	valid := ip(a, g, nil)
	other := endpoint(s.network, "x", "172.20.9.9", topology.RoleServer)
	toGateway := "forward to " + g.Wire() + " by "
	s.judge(t, a, []verdictCase{
		{"connects to the gateway", valid, toGateway + "gateway-tcp"},
		{"sends data to the gateway", ip(a, g, segment(40000, 8080, frame.ACK|frame.PSH)), toGateway + "gateway-tcp"},
		{"do not fragment", ip(a, g, func(p *frame.IPv4) { p.Frag = 0x4000 }), toGateway + "gateway-tcp"},
		{"wrong port", ip(a, g, segment(40000, 8081, frame.SYN)), "reject with tcp reset by closed-port"},
		{"wrong protocol", ip(a, g, datagram(40000, 8080)), "drop by no-ipv4"},
		{"ICMP to the gateway", ip(a, g, func(p *frame.IPv4) { p.Protocol, p.Payload = 1, []byte{8, 0, 0, 0} }), "drop by no-ipv4"},
		{"neighbour", ip(a, b, nil), "drop by no-ipv4"},
		{"neighbour's MAC, gateway's address", with(valid, 0, b.MAC...), "reject with tcp reset by closed-port"},
		{"outside through the gateway", with(valid, 14+16, 198, 51, 100, 2), "drop by no-ipv4"},
		{"foreign MAC", with(valid, 6, other.MAC...), "drop by not-own"},
		{"foreign address", with(valid, 14+12, other.IP.AsSlice()...), "drop by not-own"},
		{"gateway's address", with(valid, 14+12, g.IP.AsSlice()...), "drop by not-own"},
		{"first fragment", ip(a, g, func(p *frame.IPv4) { p.Frag = 0x2000 }), "drop by no-ipv4"},
		{"later fragment", ip(a, g, func(p *frame.IPv4) { p.Frag = 0x0001 }), "drop by no-ipv4"},
		{"options", ip(a, g, func(p *frame.IPv4) { p.Options = []byte{1, 1, 1, 1} }), "drop by no-ipv4"},
		{"version 6 in an IPv4 frame", with(valid, 14, 0x65), "drop by no-ipv4"},
		{"length beyond the frame", with(valid, 14+2, 0xff, 0xff), "reject with tcp reset by closed-port"},
		{"reply to nobody", ip(a, g, segment(3000, 50000, frame.ACK)), "reject with tcp reset by closed-port"},
		{"VLAN", frame.Tagged(valid, frame.TypeVLAN, 5), "drop by not-own"},
		{"priority tag", frame.Tagged(valid, frame.TypeVLAN, 0), "drop by not-own"},
		{"QinQ", frame.Tagged(valid, frame.TypeQinQ, 5), "drop by not-own"},
		{"IPv6", frame.Ethernet(hardware(g), hardware(a), frame.TypeIPv6, make([]byte, 40)), "drop by not-own"},
		{"LLDP", frame.Ethernet(net.HardwareAddr{1, 0x80, 0xc2, 0, 0, 0xe}, hardware(a), 0x88cc, make([]byte, 40)), "drop by not-own"},
		{"nothing but a header", valid[:14], "drop by not-own"},
		{"half an IP header", valid[:24], "drop by not-own"},
		{"half a TCP header", with(valid[:14+20+2], 14+2, 0, 22), "reject with tcp reset by closed-port"},
	})
}

func TestExplainServerARP(t *testing.T) {
	s := newScene(t, nil)
	a, g, b := s.server, s.gateway, s.neighbour
	asks := arp(a, "172.20.0.100", nil)
	s.judge(t, a, []verdictCase{
		{"asks for the gateway", asks, "answer " + g.MAC.String() + " by arp-gateway"},
		{"asks for a neighbour", arp(a, "172.20.240.2", nil), "drop by no-arp"},
		{"asks for the bridge", arp(a, "172.20.0.1", nil), "drop by no-arp"},
		{"announces itself", arp(a, "172.20.240.1", func(m *frame.ARP) { m.Op = frame.Reply }), "drop by no-arp"},
		{"answers nobody", arp(a, "172.20.0.100", func(m *frame.ARP) { m.Op = frame.Reply }), "drop by no-arp"},
		{"with the gateway's address", arp(a, "172.20.240.2", func(m *frame.ARP) { m.Src = g.IP }), "drop by not-own"},
		{"with a neighbour's MAC inside", arp(a, "172.20.0.100", func(m *frame.ARP) { m.SrcMAC = hardware(b) }), "drop by not-own"},
		{"with a neighbour's MAC outside", with(asks, 6, b.MAC...), "drop by not-own"},
		{"for other hardware", with(asks, 14, 0, 6), "drop by no-arp"},
		{"for other addresses", with(asks, 16, 0x86, 0xdd), "drop by no-arp"},
		{"cut short", asks[:14+20], "drop by no-arp"},
	})
}

func TestExplainGateway(t *testing.T) {
	s := newScene(t, nil)
	a, g := s.server, s.gateway
	bridge := topology.Endpoint{IP: netip.MustParseAddr("198.51.100.2"), MAC: s.network.BridgeMAC()}
	toServer := "forward to " + a.Wire() + " by "
	s.judge(t, g, []verdictCase{
		{"answers", ip(g, a, segment(8080, 40000, frame.SYN|frame.ACK)), toServer + "answer-tcp"},
		{"refuses", ip(g, a, segment(8080, 40000, frame.RST|frame.ACK)), toServer + "answer-tcp"},
		{"connects", ip(g, a, segment(50000, 3000, frame.SYN)), toServer + "connect"},
		{"connects from its own port", ip(g, a, segment(8080, 3000, frame.SYN)), toServer + "connect"},
		{"sends what nobody asked for", ip(g, a, segment(50000, 3000, frame.ACK)), "reject with tcp reset by closed-server"},
		{"pings a server", ip(g, a, func(p *frame.IPv4) { p.Protocol, p.Payload = 1, []byte{8, 0, 0, 0} }), "drop by no-ipv4"},
		{"UDP to a server", ip(g, a, datagram(8080, 40000)), "drop by no-ipv4"},
		{"egress", ip(g, bridge, nil), "accept by to-host"},
		{"egress with a fragment", ip(g, bridge, func(p *frame.IPv4) { p.Frag = 0x2000 }), "accept by to-host"},
		{"as a server", with(ip(g, bridge, nil), 14+12, a.IP.AsSlice()...), "drop by not-own"},
		{"asks for a server", arp(g, "172.20.240.1", nil), "answer " + a.MAC.String() + " by arp-server"},
		{"asks for the bridge", arp(g, "172.20.0.1", nil), "accept by arp-bridge"},
		{"asks for nobody", arp(g, "172.20.77.77", nil), "drop by no-arp"},
		{"IPv6", frame.Ethernet(hardware(a), hardware(g), frame.TypeIPv6, make([]byte, 40)), "drop by not-own"},
	})
}

func TestExplainConnection(t *testing.T) {
	s := newScene(t, nil)
	a, g := s.server, s.gateway
	step := func(from topology.Endpoint, f []byte, want string) {
		t.Helper()
		o := s.rules.Explain(firewall.HookIngress, firewall.Decode(from.Wire(), f))
		if got := describe(o); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		s.rules = s.rules.After(o)
	}
	step(a, ip(a, g, segment(3000, 50000, frame.SYN|frame.ACK)), "reject with tcp reset by closed-port")
	step(g, ip(g, a, segment(50000, 3000, frame.SYN)), "forward to "+a.Wire()+" by connect")
	step(a, ip(a, g, segment(3000, 50000, frame.SYN|frame.ACK)), "forward to "+g.Wire()+" by reply")
	step(a, ip(a, g, segment(3000, 50000, frame.SYN)), "reject with tcp reset by closed-port")
	step(a, ip(a, g, segment(3000, 50001, frame.ACK)), "reject with tcp reset by closed-port")
	step(g, ip(g, a, segment(50000, 3000, frame.ACK)), "forward to "+a.Wire()+" by connected")
	step(g, ip(g, a, segment(50000, 3000, frame.FIN|frame.ACK)), "forward to "+a.Wire()+" by connect-close")
	step(a, ip(a, g, segment(3000, 50000, frame.FIN|frame.ACK)), "forward to "+g.Wire()+" by reply-closing")
	step(g, ip(g, a, segment(50000, 3000, frame.ACK)), "forward to "+a.Wire()+" by connect-closing")
}

// TestExplainReset: a server's reset is the last that a gateway's connection sees, so it ends the element's life.
func TestExplainReset(t *testing.T) {
	s := newScene(t, nil)
	opened := s.rules.Explain(firewall.HookIngress, firewall.Decode(s.gateway.Wire(), ip(s.gateway, s.server, segment(50000, 3000, frame.SYN))))
	rules := s.rules.After(opened)
	reset := rules.Explain(firewall.HookIngress, firewall.Decode(s.server.Wire(), ip(s.server, s.gateway, segment(3000, 50000, frame.RST))))
	if got, want := describe(reset), "forward to "+s.gateway.Wire()+" by reply-reset"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if flows, _ := rules.After(reset).Set(firewall.NetDev, "mcp-secure.flows"); len(flows.Elements) > 0 {
		t.Errorf("still remembered: %v", flows.Elements)
	}
}

// TestExplainRemembersWithoutDeciding holds the simulator to the kernel: what a rule's statements did stays done when its
// map lacks the key and the next rule is tried.
func TestExplainRemembersWithoutDeciding(t *testing.T) {
	s := newScene(t, nil)
	f := with(ip(s.gateway, s.server, segment(50000, 3000, frame.SYN)), 0, s.neighbour.MAC...)
	o := s.rules.Explain(firewall.HookIngress, firewall.Decode(s.gateway.Wire(), f))
	if got := describe(o); got != "reject with tcp reset by closed-server" {
		t.Errorf("got %s", got)
	}
	want := map[string]firewall.Element{"mcp-secure.flows": {Key: []string{"172.20.240.1", "3000", "172.20.0.100", "50000"}}}
	if diff := cmp.Diff(want, o.Remembered); diff != "" {
		t.Error(diff)
	}
}
