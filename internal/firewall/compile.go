package firewall

import (
	"net/netip"
	"strconv"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Timeouts of connections that a gateway opened towards a server.
const (
	openingTimeout = "60s"
	flowTimeout    = "1d" // without any segment of the gateway
	closingTimeout = "60s"
	flowsSize      = 131072
)

// metadata are the prefixes of cloud metadata services and the like, which no egress policy opens (P7).
var metadata = []string{"169.254.0.0/16", "168.63.129.16", "100.100.100.200", "192.0.0.192"}

// Features are what the kernel offers beyond the minimum.
type Features struct {
	// Reset is NFT_REJECT_NETDEV: TCP resets from ingress. Without it closed ports are silent.
	Reset bool
}

// names are the sets and chains of one network, by its bridge.
type names struct {
	tcp, udp, gatewayIP              string // policy: permitted tuples, addresses of gateways
	gatewayMAC, serverMAC            string // answers to ARP
	port, wire                       string // ways: (MAC, IP) → interface
	flows, closing                   string // connections opened by gateways
	own                              string // identity: wire, MAC and IP of each endpoint
	server, fromServer, serverARP    string // chains
	gateway, fromGateway, gatewayARP string
	candidate                        string
	held, quarantine, heldWay        string // chains and set of servers that are not admitted
	forward, input, nat              string
}

func namesOf(n topology.Network) names {
	b := n.Bridge
	return names{
		tcp: b + ".tcp", udp: b + ".udp", gatewayIP: b + ".gateway-ip",
		gatewayMAC: b + ".gateway-mac", serverMAC: b + ".server-mac",
		port: b + ".port", wire: b + ".wire", flows: b + ".flows", closing: b + ".closing",
		own:    b + ".own",
		server: "MCP-SERVER." + b, fromServer: "DOCKER-MCP." + b, serverARP: "MCP-SERVER-ARP." + b,
		gateway: "MCP-GATEWAY." + b, fromGateway: "MCP-GATEWAY-IPV4." + b, gatewayARP: "MCP-GATEWAY-ARP." + b,
		candidate: "MCP-CANDIDATE." + b,
		held:      "MCP-HELD." + b, quarantine: "MCP-QUARANTINE." + b, heldWay: b + ".held",
		forward: "forward." + b, input: "input." + b, nat: "postrouting." + b,
	}
}

// compiler builds the rules of one network.
type compiler struct {
	names
	network  topology.Network
	policy   policy.Policy
	features Features
}

// CompileNetwork gives the rules of a network that do not depend on its endpoints: its skeleton.
func CompileNetwork(n topology.Network, f Features) Ruleset {
	c := compiler{namesOf(n), n, n.Policy, f}
	return Ruleset{
		Sets: c.sets(),
		Chains: append([]Chain{
			{Family: NetDev, Name: c.server, Rules: c.identity(c.fromServer, c.serverARP)},
			{Family: NetDev, Name: c.fromServer, Rules: c.servers()},
			{Family: NetDev, Name: c.serverARP, Rules: []Rule{c.answer("arp-gateway", c.gatewayMAC), c.deny("no-arp")}},
			{Family: NetDev, Name: c.gateway, Rules: c.identity(c.fromGateway, c.gatewayARP)},
			{Family: NetDev, Name: c.fromGateway, Rules: c.gateways()},
			{Family: NetDev, Name: c.gatewayARP, Rules: c.gatewaysARP()},
			{Family: NetDev, Name: c.candidate, Rules: []Rule{c.deny("candidate")}},
		}, append(c.heldChains(), c.host()...)...),
	}
}

func (c compiler) sets() []Set {
	way := []Type{EtherAddr, IPv4Addr}
	flow := []Type{IPv4Addr, InetService, IPv4Addr, InetService}
	return []Set{
		{Family: NetDev, Name: c.gatewayIP, Key: []Type{IPv4Addr}, Elements: c.gatewayAddrs()},
		{Family: NetDev, Name: c.tcp, Key: []Type{IPv4Addr, InetService}, Elements: c.tuples(policy.TCP)},
		{Family: NetDev, Name: c.udp, Key: []Type{IPv4Addr, InetService}, Elements: c.tuples(policy.UDP)},
		{Family: NetDev, Name: c.gatewayMAC, Key: []Type{IPv4Addr}, Data: EtherAddr, Elements: c.gatewayMACs()},
		c.ownSet(),
		{Family: NetDev, Name: c.serverMAC, Key: []Type{IPv4Addr}, Data: EtherAddr, Held: true},
		{Family: NetDev, Name: c.port, Key: way, Data: IfaceIndex, Held: true},
		{Family: NetDev, Name: c.wire, Key: way, Data: IfaceIndex, Held: true},
		{Family: NetDev, Name: c.flows, Key: flow, Dynamic: true, Size: flowsSize, Held: true},
		{Family: NetDev, Name: c.closing, Key: flow, Dynamic: true, Size: flowsSize, Held: true},
		c.heldSet(),
	}
}

// ownSet holds who may speak on which wire.
func (c compiler) ownSet() Set {
	return Set{Family: NetDev, Name: c.own, Key: []Type{IfaceName, EtherAddr, IPv4Addr}, Held: true}
}

func (c compiler) gatewayAddrs() (out []Element) {
	for _, a := range c.policy.GatewayAddrs() {
		out = append(out, Element{Key: []string{a.String()}})
	}
	return out
}

// gatewayMACs lets a server resolve a gateway that is not attached yet: its segments are then answered with a reset at
// once, where an unanswered ARP request would take three seconds. The address is known before the gateway is.
func (c compiler) gatewayMACs() (out []Element) {
	for _, a := range c.policy.GatewayAddrs() {
		out = append(out, Element{Key: []string{a.String()}, Data: topology.MACFor(c.network.ID, a).String()})
	}
	return out
}

func (c compiler) tuples(p policy.Protocol) (out []Element) {
	seen := map[netip.AddrPort]bool{}
	add := func(a netip.Addr, port uint16) {
		if t := netip.AddrPortFrom(a, port); !seen[t] {
			seen[t] = true
			out = append(out, Element{Key: []string{a.String(), strconv.Itoa(int(port))}})
		}
	}
	for _, g := range c.policy.Gateways {
		if g.Port.Protocol == p {
			add(g.Addr, g.Port.Number)
		}
	}
	if c.policy.DNS == policy.DNSGateway {
		for _, a := range c.policy.GatewayAddrs() {
			add(a, 53)
		}
	}
	return out
}

func (c compiler) id(what string) string { return c.network.Bridge + "/" + what }

func (c compiler) denyLog() bool { return c.policy.Log != policy.LogOff }

// Matches shared by several rules. That a frame is IPv4, or ARP, and not tagged, is known before: see identity.
var (
	plainIP  = []Match{PlainIPv4, Unfragmented}
	plainTCP = append(append([]Match(nil), plainIP...), is(IPProto, "tcp"))
	plainUDP = append(append([]Match(nil), plainIP...), is(IPProto, "udp"))
	anyARP   = []Match{EthernetARP}

	toDestination = []Field{EtherDst, IPDst}
	// A connection's key stands with the server first, seen from either side.
	flowFromServer  = []Field{IPSrc, TCPSrc, IPDst, TCPDst}
	flowFromGateway = []Field{IPDst, TCPDst, IPSrc, TCPSrc}
)

// identity leads what a wire's own endpoint says, IPv4 or ARP, to the rules for it. Everything else ends here: other
// people's addresses, IPv6, VLAN tags, other EtherTypes.
func (c compiler) identity(ipv4, arp string) []Rule {
	own := func(mac, ip Field) Match { return in(c.own, InIface, mac, ip) }
	return []Rule{
		{ID: c.id("own-ipv4"), Match: []Match{is(EtherType, "ip"), own(EtherSrc, IPSrc)}, Verdict: Goto{ipv4}},
		{ID: c.id("own-arp"), Match: []Match{is(EtherType, "arp"), own(EtherSrc, ARPSrcIP), own(ARPSrcMAC, ARPSrcIP)}, Verdict: Goto{arp}},
		c.deny("not-own"),
	}
}

// servers are the rules for IPv4 frames of servers whose identity is proven.
func (c compiler) servers() []Rule {
	toPort := Forward{toDestination, c.port}
	permitted := func(what string, m ...Match) Rule {
		return Rule{ID: c.id(what), Match: m, Verdict: toPort, Log: c.policy.Log == policy.LogAll}
	}
	rules := []Rule{permitted("gateway-tcp", all(plainTCP, []Match{in(c.tcp, IPDst, TCPDst)})...)}
	if c.hasUDP() {
		rules = append(rules, permitted("gateway-udp", all(plainUDP, []Match{in(c.udp, IPDst, UDPDst)})...))
	}
	if !c.policy.Connect.Off() {
		reply := all(plainTCP, []Match{NotOpening})
		known := in(c.flows, flowFromServer...)
		rules = append(rules,
			// A gateway whose connection is reset says nothing more: without this rule the element would stay a day, and a
			// server that resets all it accepts would fill the set.
			Rule{ID: c.id("reply-reset"), Match: all(plainTCP, []Match{Resetting, known}),
				Do: []Statement{Remember{flowFromServer, c.closing, closingTimeout}, Forget{flowFromServer, c.flows}}, Verdict: toPort},
			Rule{ID: c.id("reply"), Match: all(reply, []Match{known}), Verdict: toPort},
			Rule{ID: c.id("reply-closing"), Match: all(reply, []Match{in(c.closing, flowFromServer...)}), Verdict: toPort})
	}
	if c.policy.Mode == policy.ModeAudit {
		rules = append(rules, Rule{ID: c.id("audit-port"), Match: all(plainIP, []Match{is(IPProto, "tcp", "udp"), in(c.gatewayIP, IPDst)}),
			Verdict: toPort, Count: true, Log: c.denyLog()})
	}
	return append(rules, c.closedPort(), c.deny("no-ipv4"))
}

// hasUDP reports whether a UDP port is permitted.
func (c compiler) hasUDP() bool { return len(c.tuples(policy.UDP)) > 0 }

// closedPort answers a segment to a gateway that has no way there: a port that is not permitted, or no gateway yet.
func (c compiler) closedPort() Rule {
	verdict := Drop
	if c.features.Reset {
		verdict = ResetTCP
	}
	return Rule{ID: c.id("closed-port"), Match: all(plainTCP, []Match{in(c.gatewayIP, IPDst)}), Verdict: verdict, Count: true, Log: c.denyLog()}
}

// answer is the rule that answers ARP requests for the addresses in a map.
func (c compiler) answer(what, addresses string) Rule {
	return Rule{ID: c.id(what), Match: all(anyARP, []Match{is(ARPOp, "request")}), Verdict: AnswerARP{addresses}}
}

// deny is the rule at the end of a chain: what nothing permitted is counted and dropped.
func (c compiler) deny(what string) Rule {
	return Rule{ID: c.id(what), Verdict: Drop, Count: true, Log: c.denyLog()}
}

// gateways are the rules for IPv4 frames of gateways whose identity is proven.
func (c compiler) gateways() []Rule {
	toWire := Forward{toDestination, c.wire}
	bridgeMAC := c.network.BridgeMAC().String()
	rules := []Rule{{ID: c.id("answer-tcp"), Match: all(plainTCP, []Match{NotOpening, in(c.tcp, IPSrc, TCPSrc)}), Verdict: toWire}}
	if c.hasUDP() {
		rules = append(rules, Rule{ID: c.id("answer-udp"), Match: all(plainUDP, []Match{in(c.udp, IPSrc, UDPSrc)}), Verdict: toWire})
	}
	rules = append(rules, c.connect(bridgeMAC, toWire)...)
	if c.policy.Mode == policy.ModeAudit {
		rules = append(rules, Rule{ID: c.id("audit-answer"), Match: all(plainIP, []Match{is(IPProto, "tcp", "udp"), in(c.gatewayIP, IPSrc)}), Verdict: toWire})
	}
	return append(rules,
		c.toHeld(),
		c.closedServer(bridgeMAC),
		Rule{ID: c.id("to-host"), Match: []Match{is(EtherDst, bridgeMAC)}, Verdict: Accept},
		c.deny("no-ipv4"))
}

// gatewaysARP answers for servers, and lets a gateway and the host find each other.
func (c compiler) gatewaysARP() []Rule {
	bridge := is(ARPDstIP, c.network.BridgeAddr.String())
	return []Rule{
		c.answer("arp-server", c.serverMAC),
		{ID: c.id("arp-bridge"), Match: all(anyARP, []Match{bridge}), Verdict: Accept},
		c.deny("no-arp"),
	}
}

// closedServer answers a gateway's segment to a server that has no way there: a port that gateway.connect leaves out, or a
// connection that nothing remembers any more.
func (c compiler) closedServer(bridgeMAC string) Rule {
	rule := c.closedPort()
	rule.ID, rule.Match = c.id("closed-server"), all(plainTCP, []Match{IsNot{EtherDst, bridgeMAC}})
	return rule
}

// connect lets a gateway open connections to servers and remembers each, so that only its replies pass. Frames to the
// bridge are its egress and must not fill the set.
func (c compiler) connect(bridgeMAC string, toWire Verdict) []Rule {
	if c.policy.Connect.Off() {
		return nil
	}
	opening := all(plainTCP, []Match{Opening, IsNot{EtherDst, bridgeMAC}})
	if !c.policy.Connect.Any {
		opening = append(opening, is(TCPDst, portNumbers(c.policy.Connect.Ports)...))
	}
	remember := func(set, timeout string) Statement { return Remember{flowFromGateway, set, timeout} }
	known, closing := in(c.flows, flowFromGateway...), in(c.closing, flowFromGateway...)
	return []Rule{
		{ID: c.id("connect"), Match: opening, Do: []Statement{remember(c.flows, openingTimeout)}, Verdict: toWire},
		{ID: c.id("connect-close"), Match: all(plainTCP, []Match{Closing, known}),
			Do: []Statement{remember(c.closing, closingTimeout), Forget{flowFromGateway, c.flows}}, Verdict: toWire},
		{ID: c.id("connected"), Match: all(plainTCP, []Match{NotOpening, known}), Do: []Statement{remember(c.flows, flowTimeout)}, Verdict: toWire},
		{ID: c.id("connect-closing"), Match: all(plainTCP, []Match{NotOpening, closing}), Verdict: toWire},
	}
}

func portNumbers(ports []policy.Port) (out []string) {
	for _, p := range ports {
		out = append(out, strconv.Itoa(int(p.Number)))
	}
	return out
}
