package firewall

import (
	"slices"
	"strconv"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// CompileHost gives the rules of the host for a network's uplink: published ports, a masquerade, a way through the
// forward chains of others, and nothing into the host itself. None of them holds a promise; without them a gateway has
// no egress. A network without an uplink has none.
func CompileHost(n topology.Network) Ruleset {
	if !n.HasUplink() {
		return Ruleset{}
	}
	c := compiler{network: n, policy: n.Policy}
	uplink := n.Uplink()
	from, to := is(InIface, uplink), is(OutIface, uplink)
	return Ruleset{Chains: []Chain{
		{Family: Inet, Name: "forward." + uplink, Hook: HookForward, Policy: Accept, Rules: slices.Concat([]Rule{
			{ID: c.id("uplink-out"), Match: []Match{from, IsNot{OutIface, uplink}}, Verdict: Accept},
			{ID: c.id("uplink-in"), Match: []Match{to, is(CTState, "established", "related")}, Verdict: Accept}},
			c.publishedIn(to), []Rule{
				{ID: c.id("uplink-closed-tcp"), Match: []Match{to, is(IPProto, "tcp")}, Verdict: ResetTCP, Count: true, Log: c.denyLog()},
				{ID: c.id("uplink-closed"), Match: []Match{to}, Verdict: Reject, Count: true, Log: c.denyLog()}})},
		{Family: Inet, Name: "input." + uplink, Hook: HookInput, Policy: Accept, Rules: slices.Concat([]Rule{
			{ID: c.id("host-answered"), Match: []Match{from, is(CTState, "established", "related")}, Verdict: Accept}},
			c.allowedIn(from), []Rule{
				{ID: c.id("host-refused-tcp"), Match: []Match{from, is(IPProto, "tcp")}, Verdict: ResetTCP, Count: true, Log: c.denyLog()},
				{ID: c.id("host-refused"), Match: []Match{from}, Verdict: Reject, Count: true, Log: c.denyLog()}})},
		{Family: Inet, Name: "postrouting." + uplink, Hook: HookPostrouting, Policy: Accept, Rules: []Rule{
			{ID: c.id("egress-nat"), Match: []Match{is(IPSrc, c.sources()...), IsNot{OutIface, uplink}}, Verdict: Masquerade}}},
		{Family: Inet, Name: "dstnat." + uplink, Hook: HookDstNAT, Policy: Accept, Rules: c.publish()},
	}}
}

// sources are the addresses of those who open connections beyond the network.
func (c compiler) sources() []string {
	if c.hasAllow() {
		return []string{c.network.Subnet.String()}
	}
	return addrStrings(c.policy.GatewayAddrs())
}

// allowedIn lets servers reach a service of the host at an address of its that the list writes out.
func (c compiler) allowedIn(from Match) (rules []Rule) {
	for _, t := range c.policy.Allow.Written() {
		port, field := strconv.Itoa(int(t.Port.Number)), TCPDst
		if t.Port.Protocol == policy.UDP {
			field = UDPDst
		}
		rules = append(rules, Rule{ID: c.id("host-allowed-" + t.String()), Verdict: Accept,
			Match: []Match{from, is(IPDst, t.Prefix.Addr().String()), is(IPProto, string(t.Port.Protocol)), is(field, port)}})
	}
	return rules
}

// publish sends what asks the host for a published port to the gateway. What comes from the uplink itself never does:
// a gateway reaches no service of the host. The host's own loopback addresses are served by the process that holds
// the port.
func (c compiler) publish() (rules []Rule) {
	for _, p := range c.network.Published {
		if p.HostIP.IsLoopback() {
			continue
		}
		at := []Match{ToHost}
		if p.HostIP.IsValid() {
			at = append(at, is(IPDst, p.HostIP.String())) // which may be another machine's by now
		}
		rules = append(rules, Rule{ID: c.id("publish-" + strconv.Itoa(int(p.HostPort))), Verdict: DNAT{p.To.String()},
			Match: all([]Match{IsNot{InIface, c.network.Uplink()}}, at, []Match{is(IPProto, "tcp"), is(TCPDst, strconv.Itoa(int(p.HostPort)))})})
	}
	return rules
}

// publishedIn lets in what publish has sent, and nobody who asks for the gateway's own address.
func (c compiler) publishedIn(to Match) (rules []Rule) {
	for _, e := range c.published() {
		rules = append(rules, Rule{ID: c.id("published-" + e.Key[1]), Verdict: Accept,
			Match: []Match{to, is(CTStatus, "dnat"), is(IPDst, e.Key[0]), is(IPProto, "tcp"), is(TCPDst, e.Key[1])}})
	}
	return rules
}

// published are the addresses and ports of gateways that are published.
func (c compiler) published() (out []Element) {
	for _, p := range c.network.Published {
		if p.HostIP.IsLoopback() { // the process that holds the port carries those
			continue
		}
		e := Element{Key: []string{p.To.Addr().String(), strconv.Itoa(int(p.To.Port()))}}
		if !slices.ContainsFunc(out, func(o Element) bool { return slices.Equal(o.Key, e.Key) }) {
			out = append(out, e)
		}
	}
	return out
}
