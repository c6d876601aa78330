package firewall

import (
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Chains for names.
const (
	chainNames  = "MCP-NAMES"  // where a server's questions and connections to names are sent to
	chainOutput = "MCP-OUTPUT" // what the filter and the relay answer
)

// Sets of names. The resident process fills them.
const (
	// MapNames says where a name's synthetic address leads, for one server and port.
	MapNames = "names"
	// SetNamed are the keys of MapNames: what a connection that is open was opened to is looked up there.
	SetNamed = "named"
	namesMax = 65536
)

// nameKey is a server, a synthetic address and a port.
var nameKey = []Type{IPv4Addr, IPv4Addr, InetService}

// NameSets are the sets of names.
func NameSets() []Set {
	return []Set{
		{Family: Inet, Name: MapNames, Key: nameKey, Data: IPv4Addr, Dynamic: true, Size: namesMax, Filled: true},
		{Family: Inet, Name: SetNamed, Key: nameKey, Dynamic: true, Size: namesMax, Filled: true},
	}
}

func (c compiler) hasNames() bool { return c.policy.HasNames() }

func (c compiler) nameSets() []Set {
	if !c.hasNames() {
		return nil
	}
	return NameSets()
}

// fromServer matches what servers send to the router.
func (c compiler) fromServer(m ...Match) []Match {
	match := []Match{fromRouter, is(Mark, strconv.Itoa(topology.MarkPermitted))}
	for _, g := range c.policy.GatewayAddrs() {
		match = append(match, IsNot{IPSrc, g.String()})
	}
	return append(match, m...)
}

// names are the chains that lead questions to the filter, whichever resolver they are for; connections to names on the
// ports that the relay understands to the relay; and all others to the name's own address.
func (c compiler) names() []Chain {
	if !c.hasNames() {
		return nil
	}
	pool, relay := is(IPDst, policy.NamePool.String()), strconv.Itoa(topology.RelayPort)
	filter := strconv.Itoa(topology.FilterPort)
	to := func(what string, verdict Verdict, m ...Match) Rule {
		return Rule{ID: c.id(what), Match: c.fromServer(m...), Verdict: verdict}
	}
	return []Chain{
		{Family: Inet, Name: chainNames, Hook: HookDstNAT, Policy: Accept, Rules: []Rule{
			to("names-question", Redirect{filter}, is(UDPDst, "53")),
			to("names-question-tcp", Redirect{filter}, is(TCPDst, "53")),
			to("names-relay", Redirect{relay}, pool, is(TCPDst, "443", "80")),
			to("names-direct", DNATByMap{[]Field{IPSrc, IPDst, TCPDst}, MapNames}, pool, is(IPProto, "tcp"))}},
		{Family: Inet, Name: chainOutput, Hook: HookOutput, Policy: Accept, Rules: c.nameOutput()},
	}
}

// nameOutput are the rules for what the filter and the relay send. What a name leads to is judged before a connection
// is made; nothing but an address that is written out leads to the host or to metadata by these rules, too (P2, P7).
func (c compiler) nameOutput() []Rule {
	away := is(OutIface, topology.UplinkPort)
	refuse := func(what string, m Match) Rule {
		return Rule{ID: c.id(what), Match: []Match{away, m}, Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()}
	}
	return []Rule{
		{
			ID:      c.id("names-answer"),
			Match:   []Match{is(OutIface, topology.Router), is(CTDir, "reply")},
			Do:      permit,
			Verdict: Accept,
		},
		{
			ID:      c.id("relay-written"),
			Match:   []Match{away, is(IPProto, "tcp"), in(setWritten, toDestinedFor...)},
			Verdict: Accept,
		},
		refuse("relay-metadata", within(policy.Metadata)),
		refuse("relay-host", in(SetHost, IPDst)),
	}
}

// nameQuestions lets servers ask the network's router itself for names.
func (c compiler) nameQuestions(marked func(int, ...Match) []Match) (rules []Rule) {
	if !c.hasNames() {
		return nil
	}
	for _, f := range []Field{UDPDst, TCPDst} {
		rules = append(rules, Rule{ID: c.id("names-ask-" + strings.Fields(string(f))[0]), Do: permit, Verdict: Accept,
			Match: marked(topology.MarkServer, is(IPDst, c.network.BridgeAddr.String()), is(f, "53"))})
	}
	return rules
}

// nameInput lets in what is for the filter and the relay, and what answers the relay.
func (c compiler) nameInput() []Rule {
	if !c.hasNames() {
		return nil
	}
	return []Rule{
		{ID: c.id("names-too-many"), Match: c.fromServer(is(CTState, "new"), ManyConnections), Count: true,
			Log: c.denyLog(), Verdict: Goto{chainRefuse}},
		{ID: c.id("names-filter"), Match: c.fromServer(is(UDPDst, strconv.Itoa(topology.FilterPort))), Verdict: Accept},
		{
			ID:      c.id("names-filter-tcp"),
			Match:   c.fromServer(is(TCPDst, strconv.Itoa(topology.FilterPort))),
			Verdict: Accept,
		},
		{
			ID:      c.id("names-relayed"),
			Match:   c.fromServer(is(CTStatus, "dnat"), is(TCPDst, strconv.Itoa(topology.RelayPort))),
			Verdict: Accept,
		},
		{
			ID:      c.id("names-relay-answer"),
			Match:   []Match{fromUplink, is(CTDir, "reply"), is(CTState, "established", "related")},
			Verdict: Accept,
		},
	}
}

// allowName accepts a connection to a name, as long as the name is the server's.
func (c compiler) allowName(accept func(string, ...Match) Rule) []Rule {
	if !c.hasNames() {
		return nil
	}
	return []Rule{
		accept(
			"allowed-name",
			is(CTStatus, "dnat"),
			is(IPProto, "tcp"),
			in(SetNamed, IPSrc, CTOriginalDst, CTOriginalPort),
		),
	}
}

// Name is a name's way for one server: what the sets hold of it.
type Name struct {
	Server, Synthetic, Real string // addresses
	Port                    uint16
}

// Elements are those of the sets of names, by the name of the set.
func (n Name) Elements() []GuardElement {
	key := []string{n.Server, n.Synthetic, strconv.Itoa(int(n.Port))}
	sets := NameSets()
	return []GuardElement{{sets[0], Element{Key: key, Data: n.Real}}, {sets[1], Element{Key: slices.Clone(key)}}}
}

// NameKey is what a Name is found by.
type NameKey struct {
	Server, Synthetic string
	Port              uint16
}

// Key is the name's.
func (n Name) Key() NameKey { return NameKey{n.Server, n.Synthetic, n.Port} }

// ParseName reads an element of MapNames.
func ParseName(key []string, real string) (Name, bool) {
	if len(key) != len(nameKey) {
		return Name{}, false
	}
	port, err := strconv.ParseUint(key[2], 10, 16)
	return Name{Server: key[0], Synthetic: key[1], Real: real, Port: uint16(port)}, err == nil
}

// RelayedPorts are those on which the relay reads whom a client asks for.
var RelayedPorts = []policy.Port{{Protocol: policy.TCP, Number: 443}, {Protocol: policy.TCP, Number: 80}}
