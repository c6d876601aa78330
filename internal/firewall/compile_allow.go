package firewall

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"

	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Chains for what servers send beyond the network.
const (
	chainAllow   = "MCP-ALLOW"
	chainAllowed = "MCP-ALLOWED"
)

// Sets for it.
const (
	setAllow   = "allow"         // policy: (address, protocol, port) that the network's list opens
	setWritten = "allow-written" // policy: those of it that are written out as one address
	setOwn     = "allow-own"     // (server, address, protocol, port) of servers with a list of their own
	setListed  = "listed"        // servers that the network's list is for
	mapFlow    = "flow-mark"     // server → mark of the connections that it opens
	setConns   = "connections"   // senders, with how many connections each has: see ManyConnections
	setOpened  = "opened"        // (server, mark of a connection): those that it has opened under the rules of now
)

// destination is what a list opens. The intervals of a concatenation do not overlap.
var (
	destination   = []Type{IPv4Addr, InetProto, InetService}
	toDestinedFor = []Field{IPDst, IPProto, PortDst}
	serverFlow    = []Type{IPv4Addr, MarkType}
)

// connsSize is the most servers whose connections are counted.
const connsSize = 65536

func (c compiler) hasAllow() bool { return len(c.policy.Allow) > 0 }

func (c compiler) allowSets() []Set {
	if !c.hasAllow() {
		return nil
	}
	return []Set{
		{
			Family:   Inet,
			Name:     setAllow,
			Key:      destination,
			Interval: true,
			Elements: spanElements(c.policy.Allow.Spans()),
		},
		{Family: Inet, Name: setWritten, Key: destination, Elements: spanElements(c.policy.Allow.Written().Spans())},
		c.ownSet(),
		{Family: Inet, Name: setListed, Key: []Type{IPv4Addr}, Filled: true},
		{Family: Inet, Name: mapFlow, Key: []Type{IPv4Addr}, Data: MarkType, Filled: true},
		{Family: Inet, Name: setOpened, Key: serverFlow, Filled: true},
		{Family: Inet, Name: setConns, Key: []Type{IPv4Addr}, Dynamic: true, Counting: true, Size: connsSize, Filled: true},
	}
}

func (c compiler) ownSet() Set {
	return Set{Family: Inet, Name: setOwn, Key: append([]Type{IPv4Addr}, destination...), Interval: true, Filled: true}
}

// Numbers of protocols (IANA, Assigned Internet Protocol Numbers): sets have numbers, whose names nft looks up.
var protocolNumbers = map[policy.Protocol]string{policy.TCP: "6", policy.UDP: "17"}

// spanElements are the elements of spans, with what stands in front of each key.
func spanElements(spans []policy.Span, before ...string) (out []Element) {
	for _, s := range spans {
		key := append(
			before[:len(before):len(before)],
			rangeText(s.IPRange),
			protocolNumbers[s.Port.Protocol],
			strconv.Itoa(int(s.Port.Number)),
		)
		out = append(out, Element{Key: key})
	}
	return out
}

// rangeText is a range of addresses as a part of a key: "198.51.100.0-198.51.100.255", or one address.
func rangeText(r netipx.IPRange) string {
	if r.From() == r.To() {
		return r.From().String()
	}
	return r.String()
}

// toAllow leads what servers send to the router to MCP-ALLOW. Whoever has a gateway's address is none of them.
func (c compiler) toAllow(away func(...Match) []Match) []Rule {
	if !c.hasAllow() {
		return nil
	}
	var match []Match
	for _, g := range c.policy.GatewayAddrs() {
		match = append(match, IsNot{IPSrc, g.String()})
	}
	return []Rule{{ID: c.id("allow"), Match: away(match...), Verdict: Goto{chainAllow}}}
}

// allowAnswer lets in what answers a connection that a server has opened.
func (c compiler) allowAnswer(back func(...Match) []Match) []Rule {
	if !c.hasAllow() {
		return nil
	}
	return []Rule{{ID: c.id("allow-answer"), Verdict: Accept, Do: permit,
		Match: back(is(CTDir, "reply"), is(CTState, "established", "related"), in(setOpened, IPDst, CTMark))}}
}

// allow are the chains that decide about what servers open beyond the network. A connection is known by its mark, which
// is the server's own under the list that it has: a new list, or another server at the address, has another mark, and
// what is open is then refused. Nothing but an address that is written out leads to the host or to metadata (P7).
func (c compiler) allow() []Chain {
	if !c.hasAllow() {
		return nil
	}
	refuse := func(what string, m ...Match) Rule {
		return Rule{ID: c.id(what), Match: m, Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()}
	}
	// What is open already and not known to be this server's was another's at the address.
	accept := func(what string, m ...Match) Rule {
		m = append([]Match{is(CTState, "new")}, m...)
		return Rule{ID: c.id(what), Match: m, Do: []Statement{MarkConnection{IPSrc, mapFlow}}, Verdict: Accept,
			Log: c.policy.Log == policy.LogAll}
	}
	return []Chain{
		{Family: Inet, Name: chainAllow, Rules: []Rule{
			{
				ID:      c.id("allow-open"),
				Match:   []Match{is(CTDir, "original"), is(CTState, "established"), in(setOpened, IPSrc, CTMark)},
				Verdict: Accept,
			},
			{
				ID:      c.id("allow-written"),
				Match:   []Match{is(IPProto, "tcp", "udp"), in(setWritten, toDestinedFor...)},
				Verdict: Goto{chainAllowed},
			},
			refuse("allow-too-many", is(CTState, "new"), ManyConnections),
			refuse("allow-metadata", within(policy.Metadata)),
			refuse("allow-host", in(SetHost, IPDst)),
			{ID: c.id("allow-listed"), Match: []Match{is(IPProto, "tcp", "udp")}, Verdict: Goto{chainAllowed}},
			refuse("allow-protocol"),
		}},
		{Family: Inet, Name: chainAllowed, Rules: append(c.allowName(accept),
			accept("allowed", in(setListed, IPSrc), in(setAllow, toDestinedFor...)),
			accept("allowed-own", in(setOwn, append([]Field{IPSrc}, toDestinedFor...)...)),
			refuse("not-allowed"))},
	}
}

// allowElements are what a server's list is in the sets.
func (c compiler) allowElements(e topology.Endpoint) (out []GuardElement) {
	if !c.hasAllow() {
		return nil
	}
	ip, mark := e.IP.String(), flowMark(c.policy.Allow, e)
	out = []GuardElement{
		{
			Set{Family: Inet, Name: mapFlow, Key: []Type{IPv4Addr}, Data: MarkType},
			Element{Key: []string{ip}, Data: mark},
		},
		{Set{Family: Inet, Name: setOpened, Key: serverFlow}, Element{Key: []string{ip, mark}}},
	}
	if e.Allow == nil {
		return append(
			out,
			GuardElement{Set{Family: Inet, Name: setListed, Key: []Type{IPv4Addr}}, Element{Key: []string{ip}}},
		)
	}
	own := c.ownSet()
	for _, element := range spanElements(e.Allow.Spans(), ip) {
		out = append(out, GuardElement{own, element})
	}
	return out
}

// flowMark is the mark of a server's connections (nf_conn.mark): another one under each list, and of each endpoint.
// Zero is the mark of what nobody has permitted.
func flowMark(network policy.Allow, e topology.Endpoint) string {
	list := network
	if e.Allow != nil {
		list = *e.Allow
	}
	sum := sha256.Sum256([]byte(e.ID + " " + list.String()))
	return fmt.Sprintf("0x%08x", binary.BigEndian.Uint32(sum[:])|1)
}
