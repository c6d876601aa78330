package explain_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/explain"
	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testtopology"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func TestExplainPolicies(t *testing.T) {
	gateways := newScene(t, testtopology.Policies["gateways"])
	second := testtopology.Endpoint(gateways.network, "g2", "172.20.0.101", topology.RoleGateway)
	a, b, g := gateways.server, gateways.neighbour, gateways.gateway
	gateways = gateways.of(a, b, g, second)
	gateways.judge(t, a, []verdictCase{
		{"first gateway, second port", ip(a, g, segment(40000, 8443, frame.SYN)), "forward to " + g.Wire() +
			" by gateway-tcp"},
		{"second gateway, UDP", ip(a, second, datagram(40000, 53)), "forward to " + second.Wire() + " by gateway-udp"},
		{"second gateway, TCP", ip(a, second, segment(40000, 53, frame.SYN)), "refuse by closed-port"},
		{"first gateway, UDP", ip(a, g, datagram(40000, 53)), "refuse by closed-port"},
		{"second gateway's address at the first one's MAC", with(ip(a, second, datagram(40000, 53)), 0, g.MAC...),
			"refuse by closed-port"},
	})
	gateways.judge(t, second, []verdictCase{
		{"UDP answer", ip(second, a, datagram(53, 40000)), "forward to " + a.Wire() + " by answer-udp"},
		{"answer from another port", ip(second, a, datagram(54, 40000)), "refuse by closed-server"},
		{"answer from the other gateway's port", ip(second, a, segment(8080, 40000, frame.ACK)),
			"refuse by closed-server"},
		{"to the other gateway", ip(second, g, segment(53, 8080, frame.SYN)), "refuse by closed-server"},
	})

	dns := newScene(t, testtopology.Policies["dns-gateway"])
	dns.judge(t, a, []verdictCase{
		{"dns over UDP", ip(a, g, datagram(40000, 53)), "forward to " + g.Wire() + " by gateway-udp"},
		{"dns over TCP", ip(a, g, segment(40000, 53, frame.SYN)), "forward to " + g.Wire() + " by gateway-tcp"},
	})
	dns.judge(t, g, []verdictCase{{"dns answer", ip(g, a, datagram(53, 40000)), "forward to " + a.Wire() +
		" by answer-udp"}})
}

func TestExplainConnectPolicy(t *testing.T) {
	opens := func(o testtopology.Options, port uint16, want string) {
		t.Helper()
		s := newScene(t, o)
		s.judge(t, s.gateway, []verdictCase{{"connect", ip(s.gateway, s.server, segment(50000, port, frame.SYN)),
			want}})
	}
	wire := newScene(t, nil).server.Wire()
	opens(testtopology.Policies["connect"], 3001, "forward to "+wire+" by connect")
	opens(testtopology.Policies["connect"], 3002, "refuse by closed-server")
	opens(testtopology.Policies["connect-off"], 3000, "refuse by closed-server")
}

// TestExplainAudit: audit opens the gateway's other ports, counted; identity, host and peers hold.
func TestExplainAudit(t *testing.T) {
	s := newScene(t, testtopology.Policies["audit"])
	a, g, b := s.server, s.gateway, s.neighbour
	wrongPort := ip(a, g, segment(40000, 9, frame.SYN))
	s.judge(t, a, []verdictCase{
		{"wrong port", wrongPort, "forward to " + g.Wire() + " by audit-port"},
		{"wrong UDP port", ip(a, g, datagram(40000, 9)), "forward to " + g.Wire() + " by audit-port"},
		{"neighbour", ip(a, b, nil), "refuse by no-neighbour"},
		{"foreign address", with(wrongPort, 14+12, b.IP.AsSlice()...), "drop by not-own"},
		{"ICMP", ip(a, g, ping), "refuse by closed-port"},
	})
	s.judge(t, g, []verdictCase{{"answer", ip(g, a, segment(9, 40000, frame.SYN|frame.ACK)), "forward to " + a.Wire() +
		" by audit-answer"}})
}

// TestExplainCandidate: whose address may have been given to it by accident is refused like everybody who is not
// admitted.
func TestExplainCandidate(t *testing.T) {
	s := newScene(t, nil)
	a, c := s.server, testtopology.Endpoint(s.network, "g", "172.20.0.100", topology.RoleCandidate)
	s = s.of(a, c)
	s.judge(t, a, []verdictCase{
		{"is refused at once", ip(a, c, nil), "refuse by closed-port"},
		{"finds the gateway's address", arp(a, "172.20.0.100", nil), "answer " + c.MAC.String() + " by arp-gateway"},
	})
	s.judge(t, c, []verdictCase{
		{"candidate answers", ip(c, a, segment(8080, 40000, frame.SYN|frame.ACK)), "refuse by quarantined"},
		{"candidate connects", ip(c, a, segment(50000, 3000, frame.SYN)), "refuse by quarantined"},
		{"candidate goes outside", ip(c, s.router(), nil), "refuse by quarantined"},
		{"candidate sends a fragment", ip(c, a, func(p *frame.IPv4) { p.Frag = 1 }), "drop by quarantined-other"},
		{"candidate asks", arp(c, "172.20.0.1", nil), s.answerAny("172.20.0.1")},
		{"candidate asks for a server", arp(c, "172.20.240.1", nil), s.answerAny("172.20.240.1")},
		{"candidate as a server", with(ip(c, a, nil), 14+12, a.IP.AsSlice()...), "drop by not-own"},
	})
	// In a gateway's group it is nobody at all.
	for _, rules := range s.variants {
		f := ip(c, a, segment(8080, 40000, frame.ACK))
		if got := describe(explain.Rules(rules, firewall.HookIngress,
			explain.Decode(c.Wire(), topology.GroupGateway, f))); got != "drop by gateway-not-own" {
			t.Errorf("in a gateway's group: %s", got)
		}
	}
}

// TestExplainAdmission: an endpoint that is not admitted reaches nothing and is not reached; only it waits in silence.
func TestExplainAdmission(t *testing.T) {
	s := newScene(t, testtopology.Options{policy.KeyCaps: "NET_BIND_SERVICE", policy.KeyCapsMode: "enforce"})
	held, quarantined, a := s.server, s.neighbour, testtopology.Endpoint(s.network, "ok", "172.20.240.3", topology.RoleServer)
	quarantined.Admission.State, a.Admission.State = topology.Violates, topology.Conforms
	s = s.of(held, quarantined, a, s.gateway)
	g := s.gateway
	s.judge(t, a, []verdictCase{{"admitted", ip(a, g, nil), "forward to " + g.Wire() + " by gateway-tcp"}})
	s.judge(t, held, []verdictCase{
		{"held", ip(held, g, nil), "drop by held"},
		{"held, to a neighbour", ip(held, a, nil), "drop by held"},
		{"held, ARP for another", arp(held, "172.20.77.77", nil), s.answerAny("172.20.77.77")},
		{"held, as another", with(ip(held, g, nil), 14+12, a.IP.AsSlice()...), "drop by not-own"},
	})
	for _, rules := range s.variants {
		for _, want := range []string{"drop by held-arp-once", "drop by held-arp-twice", "answer " + g.MAC.String() + " by arp-gateway"} {
			o := explain.Rules(rules, firewall.HookIngress, decode(held, arp(held, "172.20.0.100", nil)))
			if got := describe(o); got != want {
				t.Errorf("held, ARP for a gateway: got %s, want %s", got, want)
			}
			rules = explain.After(rules, o)
		}
	}
	s.judge(t, quarantined, []verdictCase{
		{"quarantined", ip(quarantined, g, nil), "refuse by quarantined"},
		{"quarantined, ICMP", ip(quarantined, g, ping), "refuse by quarantined"},
		{"quarantined, ARP", arp(quarantined, "172.20.77.77", nil), s.answerAny("172.20.77.77")},
		{"quarantined, broadcast", with(ip(quarantined, g, nil), 0, frame.Broadcast...), "drop by quarantined-other"},
	})
	s.judge(t, g, []verdictCase{
		{"connects to an admitted one", ip(g, a, segment(50000, 3000, frame.SYN)), "forward to " + a.Wire() +
			" by connect"},
		{"connects to a held one", ip(g, held, segment(50000, 3000, frame.SYN)), "drop by to-held"},
		{"connects to a quarantined one", ip(g, quarantined, segment(50000, 3000, frame.SYN)),
			"refuse by closed-server"},
		{"answers a quarantined one", ip(g, quarantined, segment(8080, 40000, frame.ACK)), "refuse by closed-server"},
	})
}

// TestExplainUnguarded: a wire whose network's chains are gone leads nowhere, one that has no elements is nobody's, and
// a device without any chain is not mcpnet's business.
func TestExplainUnguarded(t *testing.T) {
	s := newScene(t, nil)
	a, g := s.server, s.gateway
	packet := decode(a, ip(a, g, nil))
	wire := firewall.Ruleset{}.With(firewall.CompileEndpoint(s.network, a, older))
	prefix, _ := firewall.CompileNetwork(s.network, prefixed).Chain(firewall.NetDev, "MCP-INGRESS")
	for what, rules := range map[string]firewall.Ruleset{"of the wire": wire,
		"of all wires": {Chains: []firewall.Chain{prefix}}} {
		if o := explain.Rules(rules, firewall.HookIngress, packet); o.Passes() || o.RuleID != "mcp-secure/ingress" {
			t.Errorf("a chain %s without the others lets pass: %+v", what, o)
		}
	}
	if got := describe(explain.Rules(firewall.CompileNetwork(s.network, prefixed), firewall.HookIngress,
		packet)); got != "drop by not-own" {
		t.Errorf("without elements: %s", got)
	}
	if o := explain.Rules(firewall.Ruleset{}, firewall.HookIngress, packet); !o.Passes() || o.RuleID != "" {
		t.Errorf("no chain at all: %+v", o)
	}
	// Neither variant's chain takes what does not come from a wire.
	for _, rules := range s.variants {
		if o := explain.Rules(rules, firewall.HookIngress, explain.Decode("eth0", 0, ip(a, g, nil))); !o.Passes() ||
			o.RuleID != "" {
			t.Errorf("a frame of another device: %+v", o)
		}
	}
}

// TestExplainDeliver: the router's port carries what is marked to whoever has the address, and nothing else.
func TestExplainDeliver(t *testing.T) {
	s := newScene(t, nil)
	for _, c := range []struct{ mark, dst, want string }{
		{"4", "172.20.240.1", "forward to " + s.server.Wire() + " by deliver"},
		{"4", "172.20.0.100", "forward to " + s.gateway.Wire() + " by deliver"},
		{"4", "172.20.77.77", "drop by router-unmarked"},
		{"1", "172.20.240.1", "drop by router-unmarked"}, {"2", "172.20.240.1", "drop by router-unmarked"},
		{"0", "172.20.240.1", "drop by router-unmarked"},
	} {
		for _, rules := range s.variants {
			p := explain.NewPacket(fields{firewall.InIface: topology.RouterPort, firewall.EtherType: "ip",
				firewall.Mark: c.mark, firewall.IPDst: c.dst})
			if got := describe(explain.Rules(rules, firewall.HookIngress, p)); got != c.want {
				t.Errorf("mark %s to %s: got %s, want %s", c.mark, c.dst, got, c.want)
			}
		}
	}
	arp := explain.NewPacket(fields{firewall.InIface: topology.RouterPort, firewall.EtherType: "arp",
		firewall.Mark: "4", firewall.IPDst: "172.20.240.1"})
	if got := describe(explain.Rules(s.variants[0], firewall.HookIngress, arp)); got != "drop by router-unmarked" {
		t.Errorf("ARP of the router: %s", got)
	}
}

type fields = map[firewall.Field]string

// TestExplainRouted: what ingress handed to the router is refused or filtered by its mark, and nothing passes without
// one.
func TestExplainRouted(t *testing.T) {
	n := testtopology.Network(t, testtopology.Options{policy.KeyEgress: "tcp/443,udp/123,dns"})
	empty := firewall.CompileNetwork(n, prefixed)
	rules := empty.With(firewall.CompileEndpoint(n, testtopology.Endpoint(n, "g", "172.20.0.100", topology.RoleGateway), prefixed))
	rules = rules.With(firewall.CompileEndpoint(n, testtopology.Endpoint(n, "a", "172.20.240.1", topology.RoleServer), prefixed))
	host, _ := rules.Set(firewall.Inet, firewall.SetHost)
	host.Elements = []firewall.Element{{Key: []string{"198.51.100.1"}}}
	for i, s := range rules.Sets {
		if s.Name == firewall.SetHost {
			rules.Sets[i] = host
		}
	}
	const router, up = topology.Router, topology.UplinkPort
	handed := func(mark, dst, protocol string) fields {
		return fields{firewall.InIface: router, firewall.Mark: mark, firewall.IPDst: dst, firewall.IPProto: protocol}
	}
	egress := func(dst, protocol string, port firewall.Field, number string) fields {
		return fields{firewall.InIface: router, firewall.OutIface: up, firewall.IPSrc: "172.20.0.100",
			firewall.IPDst:   dst,
			firewall.IPProto: protocol, port: number, firewall.CTDir: "original", firewall.CTState: "new"}
	}
	server := egress("203.0.113.10", "tcp", firewall.TCPDst, "443")
	server[firewall.IPSrc] = "172.20.240.1"
	answer := egress("198.51.100.1", "tcp", firewall.TCPDst, "50000")
	answer[firewall.CTDir], answer[firewall.CTState] = "reply", "established"
	opened := egress("198.51.100.1", "tcp", firewall.TCPDst, "443")
	opened[firewall.CTState] = "established"
	back := func(src, dst, state string) fields {
		return fields{firewall.InIface: up, firewall.OutIface: router, firewall.IPSrc: src, firewall.IPDst: dst,
			firewall.CTState: state,
			firewall.IPProto: "udp"}
	}
	for _, c := range []struct {
		name   string
		hook   firewall.Hook
		packet fields
		want   string
	}{
		{"denied TCP", firewall.HookPrerouting, handed("1", "172.20.240.2", "tcp"), "reject with tcp reset refuse-tcp"},
		{"denied UDP", firewall.HookPrerouting, handed("1", "198.51.100.2", "udp"),
			"reject with icmpx admin-prohibited refuse"},
		{"denied ICMP", firewall.HookPrerouting, handed("1", "172.20.0.1", "1"),
			"reject with icmpx admin-prohibited refuse"},
		{"gateway to the router", firewall.HookPrerouting, handed("2", "172.20.0.1", "tcp"),
			"reject with tcp reset refuse-tcp"},
		{"gateway to nobody", firewall.HookPrerouting, handed("2", "172.20.77.77", "udp"),
			"reject with icmpx admin-prohibited refuse"},
		{"gateway outside", firewall.HookPrerouting, handed("2", "198.51.100.2", "tcp"), "accept egress"},
		{"no mark", firewall.HookPrerouting, handed("0", "198.51.100.2", "tcp"), "drop unmarked"},
		{"the mark of another", firewall.HookPrerouting, handed("4", "198.51.100.2", "tcp"), "drop unmarked"},
		{"from the uplink", firewall.HookPrerouting, fields{firewall.InIface: up, firewall.IPDst: "172.20.0.100"},
			"accept"},

		{"egress", firewall.HookForward, egress("203.0.113.10", "tcp", firewall.TCPDst, "443"), "accept egress-tcp"},
		{"egress UDP", firewall.HookForward, egress("203.0.113.10", "udp", firewall.UDPDst, "123"),
			"accept egress-udp"},
		{"egress DNS", firewall.HookForward, egress("203.0.113.53", "udp", firewall.UDPDst, "53"),
			"accept egress-dns-udp"},
		{"egress DNS, private", firewall.HookForward, egress("10.0.0.53", "udp", firewall.UDPDst, "53"),
			"accept egress-dns-udp"},
		{"egress, private", firewall.HookForward, egress("10.0.0.53", "tcp", firewall.TCPDst, "443"),
			"reject with tcp reset refuse-tcp"},
		{"egress, wrong port", firewall.HookForward, egress("203.0.113.10", "tcp", firewall.TCPDst, "22"),
			"reject with tcp reset refuse-tcp"},
		{"egress, wrong protocol", firewall.HookForward, egress("203.0.113.10", "udp", firewall.UDPDst, "443"),
			"reject with icmpx admin-prohibited refuse"},
		{"metadata", firewall.HookForward, egress("169.254.169.254", "tcp", firewall.TCPDst, "443"),
			"reject with tcp reset refuse-tcp"},
		{"metadata of Azure", firewall.HookForward, egress("168.63.129.16", "udp", firewall.UDPDst, "53"),
			"reject with icmpx admin-prohibited refuse"},
		{"the host", firewall.HookForward, egress("198.51.100.1", "tcp", firewall.TCPDst, "443"),
			"reject with tcp reset refuse-tcp"},
		{"the host, a connection that runs", firewall.HookForward, opened, "reject with tcp reset refuse-tcp"},
		{"an answer to the host", firewall.HookForward, answer, "accept host-answer"},
		{"not a gateway", firewall.HookForward, server, "reject with tcp reset refuse-tcp"},
		{"back to the router", firewall.HookForward, fields{firewall.InIface: router, firewall.OutIface: router,
			firewall.IPSrc:   "172.20.0.100",
			firewall.IPProto: "tcp", firewall.TCPDst: "443"}, "reject with tcp reset refuse-tcp"},
		{"egress answer", firewall.HookForward, back("203.0.113.10", "172.20.0.100", "established"),
			"accept egress-answer"},
		{"from the host to a gateway", firewall.HookForward, back("198.51.100.1", "172.20.0.100", "new"),
			"accept host-connect"},
		{"from the host to a server", firewall.HookForward, back("198.51.100.1", "172.20.240.1", "new"),
			"reject with icmpx admin-prohibited refuse"},
		{"from outside", firewall.HookForward, back("198.51.100.2", "172.20.0.100", "new"),
			"reject with icmpx admin-prohibited refuse"},
		{"others", firewall.HookForward, fields{firewall.InIface: "eth0", firewall.OutIface: up}, "drop"},
		{"into the namespace", firewall.HookInput, fields{firewall.InIface: router, firewall.CTState: "established"},
			"drop no-input"},
		{"into the namespace from the host", firewall.HookInput, fields{firewall.InIface: up, firewall.CTState: "new",
			firewall.IPProto: "tcp"}, "reject with tcp reset refuse-tcp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shortOutcome(explain.Rules(rules, c.hook, explain.NewPacket(c.packet))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	// Who has the address of a gateway that is not there is none.
	for _, p := range []fields{back("203.0.113.10", "172.20.0.100", "established"), back("198.51.100.1", "172.20.0.100", "new")} {
		if got := shortOutcome(explain.Rules(empty, firewall.HookForward, explain.NewPacket(p))); got !=
			"reject with icmpx admin-prohibited refuse" {
			t.Errorf("without a gateway: %v: %q", p, got)
		}
	}
	off := firewall.CompileNetwork(testtopology.Network(t, testtopology.Policies["egress-off"]), prefixed)
	for _, p := range []fields{egress("203.0.113.10", "tcp", firewall.TCPDst, "443"), answer,
		back("203.0.113.10", "172.20.0.100", "established")} {
		if got := shortOutcome(explain.Rules(off, firewall.HookForward, explain.NewPacket(p))); got != "drop no-egress" {
			t.Errorf("without egress: %v: %q", p, got)
		}
	}
}

// TestExplainHost: on the host an uplink's packets pass, and enter neither the host nor another network. Everything
// else is not mcpnet's business.
func TestExplainHost(t *testing.T) {
	rules := firewall.CompileHost(testtopology.Network(t, testtopology.Options{policy.KeyEgress: "tcp/443,udp/123,dns"}))
	const uplink, out = "mcp-secure", "eth0"
	for _, c := range []struct {
		name   string
		hook   firewall.Hook
		packet fields
		want   string
	}{
		{"egress", firewall.HookForward, fields{firewall.InIface: uplink, firewall.OutIface: out}, "accept uplink-out"},
		{"back to the uplink", firewall.HookForward, fields{firewall.InIface: uplink, firewall.OutIface: uplink},
			"reject with icmpx admin-prohibited uplink-closed"},
		{"egress answer", firewall.HookForward, fields{firewall.InIface: out, firewall.OutIface: uplink,
			firewall.CTState: "established"}, "accept uplink-in"},
		{"from outside", firewall.HookForward, fields{firewall.InIface: out, firewall.OutIface: uplink,
			firewall.CTState: "new", firewall.IPProto: "tcp"}, "reject with tcp reset uplink-closed-tcp"},
		{"others", firewall.HookForward, fields{firewall.InIface: out, firewall.OutIface: "docker0"}, "accept"},
		{"gateway to the host", firewall.HookInput, fields{firewall.InIface: uplink, firewall.IPProto: "tcp",
			firewall.CTState: "new"}, "reject with tcp reset host-refused-tcp"},
		{"gateway pings the host", firewall.HookInput, fields{firewall.InIface: uplink, firewall.IPProto: "1",
			firewall.CTState: "new"}, "reject with icmpx admin-prohibited host-refused"},
		{"gateway answers the host", firewall.HookInput, fields{firewall.InIface: uplink,
			firewall.CTState: "established"}, "accept host-answered"},
		{"others to the host", firewall.HookInput, fields{firewall.InIface: out, firewall.CTState: "new"}, "accept"},
		{"masquerade", firewall.HookPostrouting, fields{firewall.IPSrc: "172.20.0.100", firewall.OutIface: out},
			"masquerade egress-nat"},
		{"no masquerade inside", firewall.HookPostrouting, fields{firewall.IPSrc: "172.20.0.100",
			firewall.OutIface: uplink}, "accept"},
		{"no masquerade for others", firewall.HookPostrouting,
			fields{firewall.IPSrc: "172.20.240.1", firewall.OutIface: out}, "accept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shortOutcome(explain.Rules(rules, c.hook, explain.NewPacket(c.packet))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if off := firewall.CompileHost(testtopology.Network(t, testtopology.Policies["egress-off"])); len(off.Chains)+len(off.Sets) > 0 {
		t.Errorf("a network without egress has rules on the host: %v", off)
	}
}

// shortOutcome is a simple verdict and the rule's last word.
func shortOutcome(o explain.Outcome) string {
	text := string(o.Verdict.(firewall.Simple))
	for i := len(o.RuleID) - 1; i >= 0; i-- {
		if o.RuleID[i] == '/' {
			return text + " " + o.RuleID[i+1:]
		}
	}
	return text
}
