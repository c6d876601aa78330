package firewall_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func TestExplainPolicies(t *testing.T) {
	gateways := newScene(t, policies["gateways"])
	second := endpoint(gateways.network, "g2", "172.20.0.101", topology.RoleGateway)
	gateways.rules = gateways.rules.With(firewall.CompileEndpoint(gateways.network, second))
	a, g := gateways.server, gateways.gateway
	gateways.judge(t, a, []verdictCase{
		{"first gateway, second port", ip(a, g, segment(40000, 8443, frame.SYN)), "forward to " + g.Wire() + " by gateway-tcp"},
		{"second gateway, UDP", ip(a, second, datagram(40000, 53)), "forward to " + second.Wire() + " by gateway-udp"},
		{"second gateway, TCP", ip(a, second, segment(40000, 53, frame.SYN)), "reject with tcp reset by closed-port"},
		{"first gateway, UDP", ip(a, g, datagram(40000, 53)), "drop by no-ipv4"},
		{"second gateway's address at the first one's MAC", with(ip(a, second, datagram(40000, 53)), 0, g.MAC...), "drop by no-ipv4"},
	})

	dns := newScene(t, policies["dns-gateway"])
	dns.judge(t, a, []verdictCase{
		{"dns over UDP", ip(a, g, datagram(40000, 53)), "forward to " + g.Wire() + " by gateway-udp"},
		{"dns over TCP", ip(a, g, segment(40000, 53, frame.SYN)), "forward to " + g.Wire() + " by gateway-tcp"},
	})
	dns.judge(t, g, []verdictCase{{"dns answer", ip(g, a, datagram(53, 40000)), "forward to " + a.Wire() + " by answer-udp"}})
}

func TestExplainConnectPolicy(t *testing.T) {
	opens := func(o options, port uint16, want string) {
		t.Helper()
		s := newScene(t, o)
		s.judge(t, s.gateway, []verdictCase{{"connect", ip(s.gateway, s.server, segment(50000, port, frame.SYN)), want}})
	}
	wire := newScene(t, nil).server.Wire()
	opens(policies["connect"], 3001, "forward to "+wire+" by connect")
	opens(policies["connect"], 3002, "reject with tcp reset by closed-server")
	opens(policies["connect-off"], 3000, "reject with tcp reset by closed-server")
}

// TestExplainAudit: audit opens the gateway's other ports, counted; identity, host and peers hold.
func TestExplainAudit(t *testing.T) {
	s := newScene(t, policies["audit"])
	a, g, b := s.server, s.gateway, s.neighbour
	wrongPort := ip(a, g, segment(40000, 9, frame.SYN))
	s.judge(t, a, []verdictCase{
		{"wrong port", wrongPort, "forward to " + g.Wire() + " by audit-port"},
		{"wrong UDP port", ip(a, g, datagram(40000, 9)), "forward to " + g.Wire() + " by audit-port"},
		{"neighbour", ip(a, b, nil), "drop by no-ipv4"},
		{"foreign address", with(wrongPort, 14+12, b.IP.AsSlice()...), "drop by not-own"},
		{"ICMP", ip(a, g, func(p *frame.IPv4) { p.Protocol, p.Payload = 1, []byte{8, 0, 0, 0} }), "drop by no-ipv4"},
	})
	s.judge(t, g, []verdictCase{{"answer", ip(g, a, segment(9, 40000, frame.SYN|frame.ACK)), "forward to " + a.Wire() + " by audit-answer"}})
}

func TestExplainWithoutGateway(t *testing.T) {
	n := network(t, nil)
	a, g := endpoint(n, "a", "172.20.240.1", topology.RoleServer), endpoint(n, "g", "172.20.0.100", topology.RoleCandidate)
	compiled := func(f firewall.Features) scene {
		rules := firewall.CompileNetwork(n, f).With(firewall.CompileEndpoint(n, a), firewall.CompileEndpoint(n, g))
		return scene{network: n, server: a, gateway: g, rules: rules}
	}
	compiled(firewall.Features{Reset: true}).judge(t, a, []verdictCase{
		{"is refused at once", ip(a, g, nil), "reject with tcp reset by closed-port"},
		{"finds the gateway's address", arp(a, "172.20.0.100", nil), "answer " + g.MAC.String() + " by arp-gateway"},
	})
	compiled(firewall.Features{}).judge(t, a, []verdictCase{{"is silent without the feature", ip(a, g, nil), "drop by closed-port"}})
	compiled(firewall.Features{}).judge(t, g, []verdictCase{
		{"candidate answers", ip(g, a, segment(8080, 40000, frame.SYN|frame.ACK)), "drop by candidate"},
		{"candidate asks", arp(g, "172.20.0.1", nil), "drop by candidate"},
	})
}

// TestExplainUnguarded: a wire whose network's chains are gone leads nowhere, and a device without any chain is not
// mcpnet's business.
func TestExplainUnguarded(t *testing.T) {
	n := network(t, nil)
	a, g := endpoint(n, "a", "172.20.240.1", topology.RoleServer), endpoint(n, "g", "172.20.0.100", topology.RoleGateway)
	rules := firewall.Ruleset{}.With(firewall.CompileEndpoint(n, a))
	packet := firewall.Decode(a.Wire(), ip(a, g, nil))
	if o := rules.Explain(firewall.HookIngress, packet); o.Passes() || o.RuleID != "mcp-secure/wire" {
		t.Errorf("a chain that is missing lets pass: %+v", o)
	}
	if o := (firewall.Ruleset{}).Explain(firewall.HookIngress, packet); !o.Passes() || o.RuleID != "" {
		t.Errorf("no chain at all: %+v", o)
	}
}

type fields = map[firewall.Field]string

func TestExplainHost(t *testing.T) {
	n := network(t, options{policy.KeyEgress: "tcp/443,udp/123,dns"})
	rules := firewall.CompileNetwork(n, firewall.Features{})
	wires := firewall.CompileWires()
	rules.Chains = append(rules.Chains, wires.Chains...)
	bridge, wire, out := "mcp-secure", "mcpwd0123456789", "eth0"
	egress := func(dst, protocol string, port firewall.Field, number string) fields {
		return fields{firewall.InIface: bridge, firewall.OutIface: out, firewall.IPSrc: "172.20.0.100", firewall.IPDst: dst,
			firewall.IPProto: protocol, port: number}
	}
	server := egress("203.0.113.10", "tcp", firewall.TCPDst, "443")
	server[firewall.IPSrc] = "172.20.240.1"
	for _, c := range []struct {
		name   string
		hook   firewall.Hook
		packet fields
		want   string
	}{
		{"egress", firewall.HookForward, egress("203.0.113.10", "tcp", firewall.TCPDst, "443"), "accept egress-tcp"},
		{"egress UDP", firewall.HookForward, egress("203.0.113.10", "udp", firewall.UDPDst, "123"), "accept egress-udp"},
		{"egress DNS", firewall.HookForward, egress("203.0.113.53", "udp", firewall.UDPDst, "53"), "accept egress-udp"},
		{"egress, wrong port", firewall.HookForward, egress("203.0.113.10", "tcp", firewall.TCPDst, "22"), "reject with tcp reset egress-refused-tcp"},
		{"egress, wrong protocol", firewall.HookForward, egress("203.0.113.10", "udp", firewall.UDPDst, "443"), "reject with icmpx admin-prohibited egress-refused"},
		{"metadata", firewall.HookForward, egress("169.254.169.254", "tcp", firewall.TCPDst, "80"), "reject with icmpx admin-prohibited egress-metadata"},
		{"metadata of Azure", firewall.HookForward, egress("168.63.129.16", "tcp", firewall.TCPDst, "443"), "reject with icmpx admin-prohibited egress-metadata"},
		{"not a gateway", firewall.HookForward, server, "reject with tcp reset egress-refused-tcp"},
		{"IPv6 from the bridge", firewall.HookForward, fields{firewall.InIface: bridge, firewall.OutIface: out}, "reject with icmpx admin-prohibited egress-refused"},
		{"egress answer", firewall.HookForward, fields{firewall.InIface: out, firewall.OutIface: bridge, firewall.CTState: "established"}, "accept egress-answer"},
		{"from outside", firewall.HookForward, fields{firewall.InIface: out, firewall.OutIface: bridge, firewall.CTState: "new"}, "drop inbound-refused"},
		{"from a wire", firewall.HookForward, fields{firewall.InIface: wire, firewall.OutIface: out}, "drop forward"},
		{"to a wire", firewall.HookForward, fields{firewall.InIface: out, firewall.OutIface: wire}, "drop forward-to"},
		{"others", firewall.HookForward, fields{firewall.InIface: out, firewall.OutIface: "docker0"}, "accept"},
		{"gateway to the host", firewall.HookInput, fields{firewall.InIface: bridge, firewall.IPProto: "tcp", firewall.CTState: "new"}, "reject with tcp reset host-refused-tcp"},
		{"gateway pings the host", firewall.HookInput, fields{firewall.InIface: bridge, firewall.IPProto: "1", firewall.CTState: "new"}, "reject with icmpx admin-prohibited host-refused"},
		{"gateway answers the host", firewall.HookInput, fields{firewall.InIface: bridge, firewall.CTState: "established"}, "accept host-answer"},
		{"wire to the host", firewall.HookInput, fields{firewall.InIface: wire, firewall.CTState: "established"}, "drop input"},
		{"others to the host", firewall.HookInput, fields{firewall.InIface: out, firewall.CTState: "new"}, "accept"},
		{"masquerade", firewall.HookPostrouting, fields{firewall.IPSrc: "172.20.0.100", firewall.OutIface: out}, "masquerade egress-nat"},
		{"no masquerade inside", firewall.HookPostrouting, fields{firewall.IPSrc: "172.20.0.100", firewall.OutIface: bridge}, "accept"},
		{"no masquerade for others", firewall.HookPostrouting, fields{firewall.IPSrc: "172.20.240.1", firewall.OutIface: out}, "accept"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shortOutcome(rules.Explain(c.hook, firewall.NewPacket(c.packet))); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// shortOutcome is a simple verdict and the rule's last word.
func shortOutcome(o firewall.Outcome) string {
	text := string(o.Verdict.(firewall.Simple))
	for i := len(o.RuleID) - 1; i >= 0; i-- {
		if o.RuleID[i] == '/' {
			return text + " " + o.RuleID[i+1:]
		}
	}
	return text
}
