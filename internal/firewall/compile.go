package firewall

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Timeouts of connections that a gateway opened towards a server.
const (
	openingTimeout = "60s"
	flowTimeout    = "1d"   // without any segment of the gateway
	closingTimeout = "300s" // of one that the gateway will send no more on, without any segment of it
	resetTimeout   = "60s"
	flowsSize      = 131072
)

// A request of a held server about a gateway is remembered for a time in which no kernel asks more than thrice. There
// is one element for each wire and gateway.
const (
	askedTimeout = "60s"
	askedSize    = 65536
)

// Features are what the machine offers beyond the minimum.
type Features struct {
	// DevicePrefix is an ingress chain for all devices whose names begin alike, also for those that are made later
	// (Linux 6.16, with an nft command that can list it: 1.1.6). Without it each wire has a chain of its own.
	DevicePrefix bool `json:"devicePrefix"`
}

// Names of chains. Those that the network guide names keep its spelling.
const (
	chainIngress    = "MCP-INGRESS" // base chain of all wires
	chainWires      = "DOCKER-MCP"
	chainServers    = "MCP-SERVER"
	chainServerARP  = "MCP-SERVER-ARP"
	chainGateway    = "MCP-GATEWAY"
	chainGateways   = "MCP-GATEWAY-IPV4"
	chainGatewayARP = "MCP-GATEWAY-ARP"
	chainHeld       = "MCP-HELD"
	chainHeldARP    = "MCP-HELD-ARP"
	chainQuarantine = "MCP-QUARANTINE"
	chainRouter     = "MCP-ROUTER"
	chainRouterIn   = "MCP-ROUTER-IN"
	chainRefuse     = "MCP-REFUSE"
	chainForward    = "MCP-FORWARD"
	chainInput      = "MCP-INPUT"
)

// Names of sets.
const (
	setGatewayIP  = "gateway-ip"    // policy: addresses of gateways
	setTCP        = "permitted-tcp" // policy: permitted (gateway IP, port)
	setUDP        = "permitted-udp" //
	setGatewayMAC = "gateway-mac"   // policy: what servers are told of gateways by ARP

	setAntiSpoof        = "anti-spoof"         // who may speak on which wire: servers
	setAntiSpoofHeld    = "anti-spoof-held"    // servers that are not admitted yet
	setAntiSpoofDenied  = "anti-spoof-denied"  // servers in quarantine, and candidates
	setAntiSpoofGateway = "anti-spoof-gateway" // gateways
	setServers          = "servers"            // as anti-spoof, for plain IPv4: whom the permitted tuples are for
	setAnswerTCP        = "from-gateway-tcp"   // gateways' permitted ports, as they answer from them
	setAnswerUDP        = "from-gateway-udp"

	mapToTCP  = "to-gateway-tcp" // next hop of a permitted tuple: (MAC, IP, port) of a gateway → its port
	mapToUDP  = "to-gateway-udp" //
	mapPort   = "gateway-port"   // (MAC, IP) of a gateway → its port
	mapWire   = "server-wire"    // (MAC, IP) of an admitted server → its wire
	mapMAC    = "endpoint-mac"   // IP of any endpoint → its MAC
	mapDevice = "endpoint-wire"  // IP of any endpoint → its wire
	setHeld   = "held-servers"   // (MAC, IP) that gateways must not reach yet
	setAsked  = "held-asked"     // (wire, IP) of a gateway that a held server asks about
	setAgain  = "held-again"     // the same, asked about twice
	setFlows  = "flows"          // connections opened by gateways
	setClosed = "closing"        // those that were closed a moment ago

	// SetHost is the set of the host's own addresses, which a gateway's egress does not reach.
	SetHost = "host-addrs"
	// Only gateways that are there get what comes over the uplink: another container may have the address of one that is
	// not.
	setAttached = "attached-gateways"
	// What is published of gateways is reached from everywhere beyond the network.
	setPublished = "published-tcp"
)

// compiler builds the rules of one network's namespace.
type compiler struct {
	network  topology.Network
	policy   policy.Policy
	features Features
}

// CompileNetwork gives the rules of a network's namespace that do not depend on its endpoints: its skeleton.
func CompileNetwork(n topology.Network, f Features) Ruleset {
	c := compiler{n, n.Policy, f}
	chains := []Chain{
		{Family: NetDev, Name: chainWires, Rules: c.wires()},
		{Family: NetDev, Name: chainServers, Rules: c.servers()},
		{Family: NetDev, Name: chainServerARP, Rules: c.serversARP()},
		{Family: NetDev, Name: chainGateway, Rules: c.gateway()},
		{Family: NetDev, Name: chainGateways, Rules: c.gateways()},
		{Family: NetDev, Name: chainGatewayARP, Rules: c.gatewaysARP()},
		{Family: NetDev, Name: chainHeld, Rules: []Rule{c.deny("held")}},
		{Family: NetDev, Name: chainHeldARP, Rules: c.heldARP()},
		{Family: NetDev, Name: chainQuarantine, Rules: []Rule{c.refuse("quarantined"), c.deny("quarantined-other")}},
		{Family: NetDev, Name: chainRouter, Hook: HookIngress, Device: topology.RouterPort, Policy: Drop, Rules: c.fromRouter()},
	}
	if f.DevicePrefix {
		chains = append(chains, c.ingress(chainIngress, topology.WirePrefix+"*"))
	}
	return Ruleset{Features: f, Sets: slices.Concat(c.sets(), c.allowSets(), c.nameSets()), Chains: append(chains, c.routed()...)}
}

// Keys of sets: who speaks; the same of an IPv4 frame; whom a frame of a permitted port is for.
var (
	identity     = []Type{IfaceIndex, EtherAddr, IPv4Addr}
	identityIPv4 = []Type{IfaceIndex, EtherSource, IPv4Addr}
	answerKey    = []Type{IfaceIndex, EtherSource, IPv4Addr, InetService}
	tupleKey     = []Type{EtherTarget, IPv4Addr, InetService}
)

func (c compiler) sets() []Set {
	filled := func(name string, data Type, key ...Type) Set {
		return Set{Family: NetDev, Name: name, Key: key, Data: data, Filled: true}
	}
	sets := []Set{
		{Family: NetDev, Name: setGatewayIP, Key: []Type{IPv4Addr}, Elements: c.gatewayAddrs()},
		{Family: NetDev, Name: setTCP, Key: []Type{IPv4Addr, InetService}, Elements: c.tuples(policy.TCP)},
		{Family: NetDev, Name: setUDP, Key: []Type{IPv4Addr, InetService}, Elements: c.tuples(policy.UDP)},
		{Family: NetDev, Name: setGatewayMAC, Key: []Type{IPv4Addr}, Data: EtherAddr, Elements: c.gatewayMACs()},
		filled(setAntiSpoof, "", identity...), filled(setAntiSpoofHeld, "", identity...),
		filled(setAntiSpoofDenied, "", identity...), filled(setAntiSpoofGateway, "", identity...),
		filled(setServers, "", identityIPv4...), filled(setAnswerTCP, "", answerKey...), filled(setAnswerUDP, "", answerKey...),
		filled(mapToTCP, IfaceIndex, tupleKey...), filled(mapToUDP, IfaceIndex, tupleKey...),
		filled(mapPort, IfaceIndex, hopKey...), filled(mapWire, IfaceIndex, hopKey...), filled(setHeld, "", hopKey...),
		filled(mapMAC, EtherAddr, IPv4Addr), filled(mapDevice, IfaceIndex, IPv4Addr),
	}
	return append(append(append(sets, FlowSets()...), askedSets()...),
		Set{Family: Inet, Name: SetHost, Key: []Type{IPv4Addr}, Filled: true},
		Set{Family: Inet, Name: setAttached, Key: []Type{IPv4Addr}, Filled: true},
		Set{Family: Inet, Name: setPublished, Key: []Type{IPv4Addr, InetService}, Elements: c.published()})
}

// FlowSets are the sets that rules fill: the connections that gateways opened.
func FlowSets() []Set {
	flow := []Type{IPv4Addr, InetService, IPv4Addr, InetService}
	return []Set{
		{Family: NetDev, Name: setFlows, Key: flow, Dynamic: true, Size: flowsSize, Filled: true},
		{Family: NetDev, Name: setClosed, Key: flow, Dynamic: true, Size: flowsSize, Filled: true},
	}
}

// askedSets are the sets that held servers' requests fill.
func askedSets() (out []Set) {
	for _, name := range []string{setAsked, setAgain} {
		out = append(out, Set{Family: NetDev, Name: name, Key: []Type{IfaceIndex, IPv4Addr}, Dynamic: true, Size: askedSize, Filled: true})
	}
	return out
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

// Matches shared by several rules. That a frame is IPv4, or ARP, and not tagged, is known before: see wires.
var (
	plainIP  = []Match{PlainIPv4, Unfragmented}
	plainTCP = append(append([]Match(nil), plainIP...), is(IPProto, "tcp"))
	anyARP   = []Match{EthernetARP}

	toDestination = []Field{EtherDst, IPDst}
	toTuple       = []Field{EtherTo, IPDst, PortDst}
	fromTuple     = []Field{InIndex, EtherFrom, IPSrc, PortSrc}
	// A connection's key stands with the server first, seen from either side.
	flowFromServer  = []Field{IPSrc, TCPSrc, IPDst, TCPDst}
	flowFromGateway = []Field{IPDst, TCPDst, IPSrc, TCPSrc}
)

// ingress takes every frame of a device, or of all devices of a prefix, to the rules for wires. It is one rule: when
// a rule comes, the kernel walks through those of every base chain (nft_table_validate), so that each more would be
// felt at a thousand wires.
func (c compiler) ingress(name, device string) Chain {
	return Chain{Family: NetDev, Name: name, Hook: HookIngress, Device: device, Policy: Drop,
		Rules: []Rule{{ID: c.id("ingress"), Verdict: Goto{chainWires}}}}
}

// wires forwards what a server may say to a gateway, and leads what else an endpoint itself says, IPv4 or ARP, to the
// rules for it. Everything else ends here: other people's addresses, IPv6, VLAN tags, other EtherTypes.
func (c compiler) wires() []Rule {
	rules := append(c.permitted(),
		Rule{ID: c.id("wire-gateway"), Match: []Match{is(InGroup, strconv.Itoa(topology.GroupGateway))}, Verdict: Goto{chainGateway}})
	for _, state := range []struct{ what, set, chain, arp string }{
		{"own", setAntiSpoof, chainServers, chainServerARP}, {"held", setAntiSpoofHeld, chainHeld, chainHeldARP},
		{"denied", setAntiSpoofDenied, chainQuarantine, chainServerARP},
	} {
		rules = append(rules, ownIPv4(c.id(state.what+"-ipv4"), state.set, state.chain), ownARP(c.id(state.what+"-arp"), state.set, state.arp))
	}
	return append(rules, c.probe("arp-probe", setAntiSpoof), c.deny("not-own"))
}

// probe drops what a system asks before it takes its own address (RFC 5227, 2.1.1), which is no attempt at anything.
func (c compiler) probe(what, set string) Rule {
	return Rule{ID: c.id(what), Verdict: Drop, Match: all([]Match{is(EtherType, "arp")}, anyARP,
		[]Match{is(ARPOp, "request"), is(ARPSrcIP, "0.0.0.0"), in(set, InIndex, EtherSrc, ARPDstIP), in(set, InIndex, ARPSrcMAC, ARPDstIP)})}
}

// permitted are the rules that nearly every frame takes: each expression in them is felt. One lookup knows who speaks,
// and that it is IPv4 without options; one knows both the tuple and the next hop.
func (c compiler) permitted() []Rule {
	own := in(setServers, InIndex, EtherFrom, IPSrc)
	rules := []Rule{c.permit("gateway-tcp", Forward{toTuple, mapToTCP}, []Match{own, PlainTCP}, in(setTCP, IPDst, TCPDst))}
	if c.hasUDP() {
		rules = append(rules, c.permit("gateway-udp", Forward{toTuple, mapToUDP}, []Match{own, PlainUDP}, in(setUDP, IPDst, UDPDst)))
	}
	return rules
}

func ownIPv4(id, set, chain string) Rule {
	return Rule{ID: id, Match: []Match{is(EtherType, "ip"), in(set, InIndex, EtherSrc, IPSrc)}, Verdict: Goto{chain}}
}

func ownARP(id, set, chain string) Rule {
	return Rule{ID: id, Match: []Match{is(EtherType, "arp"), in(set, InIndex, EtherSrc, ARPSrcIP), in(set, InIndex, ARPSrcMAC, ARPSrcIP)}, Verdict: Goto{chain}}
}

// servers are the rules for what else servers send over IPv4. Their identity is proven.
func (c compiler) servers() []Rule {
	toPort := Forward{toDestination, mapPort}
	var rules []Rule
	if !c.policy.Connect.Off() {
		reply := all(plainTCP, []Match{NotOpening})
		known := in(setFlows, flowFromServer...)
		rules = append(rules,
			// A gateway whose connection is reset says nothing more: without this rule the element would stay a day, and a
			// server that resets all it accepts would fill the set.
			Rule{ID: c.id("reply-reset"), Match: all(plainTCP, []Match{Resetting, known}),
				Do: []Statement{Remember{flowFromServer, setClosed, resetTimeout}, Forget{flowFromServer, setFlows}}, Verdict: toPort},
			Rule{ID: c.id("reply"), Match: all(reply, []Match{known}), Verdict: toPort},
			Rule{ID: c.id("reply-closing"), Match: all(reply, []Match{in(setClosed, flowFromServer...)}), Verdict: toPort})
	}
	if c.policy.Mode == policy.ModeAudit {
		rules = append(rules, Rule{ID: c.id("audit-port"), Match: all(plainIP, []Match{is(IPProto, "tcp", "udp"), in(setGatewayIP, IPDst)}),
			Verdict: toPort, Count: true, Log: c.denyLog()})
	}
	closed := c.refuse("closed-port")
	closed.Match = append(closed.Match, in(setGatewayIP, IPDst))
	return append(append(rules, closed), append(c.serverToRouter(), c.refuse("no-neighbour"), c.deny("no-ipv4"))...)
}

// serverToRouter hands what a server sends beyond the network to the router.
func (c compiler) serverToRouter() []Rule {
	if !c.hasAllow() {
		return nil
	}
	return []Rule{{ID: c.id("server-to-router"), Match: all(plainIP, []Match{is(EtherDst, c.network.RouterMAC().String())}),
		Verdict: c.toRouter(topology.MarkServer)}}
}

// permit forwards by a map. To be logged, a frame has to be known as permitted before.
func (c compiler) permit(what string, to Forward, shape []Match, permitted Match) Rule {
	r := Rule{ID: c.id(what), Match: shape, Verdict: to}
	if c.policy.Log == policy.LogAll {
		r.Log, r.Match = true, all(shape, []Match{permitted})
	}
	return r
}

// serversARP answers for gateways with their own addresses, and for everybody else with the address that it would
// have: what is sent there is refused at once, nobody waits for an answer that does not come, and caches are right
// when somebody comes. A gratuitous request asks for nothing.
func (c compiler) serversARP() []Rule {
	return []Rule{c.gratuitous(setAntiSpoof), c.answer("arp-gateway", AnswerARP{Map: setGatewayMAC}), c.answerAny(), c.deny("no-arp")}
}

// heldARP leaves the first two requests about a gateway unanswered: a kernel keeps what it has to say there until it
// knows where to, and says it when it is told (see plan.TellGateways). The third one, two seconds later, is the last
// that Linux sends before it gives the connection up: answered, TCP goes on trying for as long as nothing passes.
func (c compiler) heldARP() []Rule {
	asks := all(anyARP, []Match{is(ARPOp, "request")})
	asked := []Field{InIndex, ARPDstIP}
	return []Rule{
		{ID: c.id("held-arp-thrice"), Match: all(asks, []Match{in(setAgain, asked...)}), Verdict: Goto{chainServerARP}},
		{ID: c.id("held-arp-twice"), Match: all(asks, []Match{in(setAsked, asked...)}), Do: []Statement{Remember{asked, setAgain, askedTimeout}},
			Verdict: Drop},
		{ID: c.id("held-arp-once"), Match: all(asks, []Match{in(setGatewayMAC, ARPDstIP)}), Do: []Statement{Remember{asked, setAsked, askedTimeout}},
			Verdict: Drop},
		{ID: c.id("held-arp-other"), Verdict: Goto{chainServerARP}},
	}
}

func (c compiler) gratuitous(set string) Rule {
	return Rule{ID: c.id("arp-own"), Match: []Match{in(set, InIndex, ARPSrcMAC, ARPDstIP)}, Verdict: Drop}
}

func (c compiler) answerAny() Rule {
	return c.answer("arp-any", AnswerARP{Prefix: c.network.MACPrefix()})
}

// hasUDP reports whether a UDP port is permitted.
func (c compiler) hasUDP() bool { return len(c.tuples(policy.UDP)) > 0 }

// answer is the rule that answers ARP requests.
func (c compiler) answer(what string, with AnswerARP) Rule {
	return Rule{ID: c.id(what), Match: all(anyARP, []Match{is(ARPOp, "request")}), Verdict: with}
}

// refuse hands a packet that is denied to the router, which answers it with a reset or an ICMP error.
func (c compiler) refuse(what string) Rule {
	return Rule{ID: c.id(what), Match: all(plainIP, []Match{Unicast}), Verdict: c.toRouter(topology.MarkDenied), Count: true, Log: c.denyLog()}
}

func (c compiler) toRouter(mark int) ToRouter { return ToRouter{mark, c.network.RouterMAC().String()} }

// deny is the rule at the end of a chain: what nothing permitted is counted and dropped.
func (c compiler) deny(what string) Rule {
	return Rule{ID: c.id(what), Verdict: Drop, Count: true, Log: c.denyLog()}
}

// gateway are the rules for frames of gateways. What they answer from a permitted port is known by one set, identity
// and all.
func (c compiler) gateway() []Rule {
	toWire := Forward{toDestination, mapWire}
	rules := []Rule{{ID: c.id("answer-tcp"), Verdict: toWire,
		Match: []Match{PlainTCP, NotOpening, in(setAnswerTCP, fromTuple...)}}}
	if c.hasUDP() {
		rules = append(rules, Rule{ID: c.id("answer-udp"), Verdict: toWire,
			Match: []Match{PlainUDP, in(setAnswerUDP, fromTuple...)}})
	}
	return append(rules,
		ownIPv4(c.id("gateway-ipv4"), setAntiSpoofGateway, chainGateways),
		ownARP(c.id("gateway-arp"), setAntiSpoofGateway, chainGatewayARP),
		c.probe("gateway-arp-probe", setAntiSpoofGateway), c.deny("gateway-not-own"))
}

// gateways are the rules for IPv4 frames of gateways whose identity is proven.
func (c compiler) gateways() []Rule {
	toWire := Forward{toDestination, mapWire}
	router := c.network.RouterMAC().String()
	rules := c.connect(router, toWire)
	if c.policy.Mode == policy.ModeAudit {
		rules = append(rules, Rule{ID: c.id("audit-answer"), Match: all(plainIP, []Match{is(IPProto, "tcp", "udp"), in(setGatewayIP, IPSrc)}), Verdict: toWire})
	}
	if c.hasUDP() {
		rules = append(rules, Rule{ID: c.id("answer-unreachable"), Match: all(plainIP, []Match{PortUnreachable}), Verdict: toWire})
	}
	closed := c.refuse("closed-server")
	closed.Match = append(closed.Match, IsNot{EtherDst, router})
	return append(rules, c.toHeld(), closed,
		Rule{ID: c.id("to-router"), Match: []Match{is(EtherDst, router)}, Verdict: c.toRouter(topology.MarkEgress)},
		c.deny("gateway-no-ipv4"))
}

// gatewaysARP answers for endpoints with their own addresses, and for everybody else as serversARP does.
func (c compiler) gatewaysARP() []Rule {
	return []Rule{c.gratuitous(setAntiSpoofGateway), c.answer("arp-server", AnswerARP{Map: mapMAC}), c.answerAny(), c.deny("gateway-no-arp")}
}

// toHeld drops what a gateway says to a held server, where one that is not there would be answered with a reset.
func (c compiler) toHeld() Rule {
	return Rule{ID: c.id("to-held"), Match: all(plainIP, []Match{in(setHeld, toDestination...)}), Verdict: Drop, Count: true, Log: c.denyLog()}
}

// fromRouter carries to endpoints what the router's rules have marked: answers to what was denied, and what comes
// back to gateways.
func (c compiler) fromRouter() []Rule {
	return []Rule{
		{ID: c.id("deliver"), Match: []Match{is(EtherType, "ip"), is(Mark, strconv.Itoa(topology.MarkPermitted))}, Verdict: Deliver{mapMAC, mapDevice}},
		c.deny("router-unmarked"),
	}
}

// connect lets a gateway open connections to servers and remembers each, so that only its replies pass. Frames to the
// router are its egress and must not fill the set.
func (c compiler) connect(router string, toWire Verdict) []Rule {
	if c.policy.Connect.Off() {
		return nil
	}
	opening := all(plainTCP, []Match{Opening, IsNot{EtherDst, router}})
	if !c.policy.Connect.Any {
		opening = append(opening, is(TCPDst, portNumbers(c.policy.Connect.Ports)...))
	}
	rule := func(what string, shape, known Match, do ...Statement) Rule {
		return Rule{ID: c.id(what), Match: all(plainTCP, []Match{shape, known}), Do: do, Verdict: toWire}
	}
	remember := func(set, timeout string) Statement { return Remember{flowFromGateway, set, timeout} }
	forget := Forget{flowFromGateway, setFlows}
	known, closing := in(setFlows, flowFromGateway...), in(setClosed, flowFromGateway...)
	return []Rule{
		{ID: c.id("connect"), Match: opening, Do: []Statement{remember(setFlows, openingTimeout)}, Verdict: toWire},
		rule("connect-reset", Resetting, known, remember(setClosed, resetTimeout), forget),
		rule("connect-close", Closing, known, remember(setClosed, closingTimeout), forget),
		rule("connected", NotOpening, known, remember(setFlows, flowTimeout)),
		rule("connect-closing-reset", Resetting, closing),
		// The server may go on sending for long: what the gateway acknowledges keeps the connection.
		rule("connect-closing", NotOpening, closing, remember(setClosed, closingTimeout)),
	}
}

func portNumbers(ports []policy.Port) (out []string) {
	for _, p := range ports {
		out = append(out, strconv.Itoa(int(p.Number)))
	}
	return out
}
