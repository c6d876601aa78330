package firewall

import (
	"github.com/mcpnet/mcpnet/internal/topology"
)

// CompileHost gives the rules of the host for a network's uplink: a masquerade, a way through the forward chains of
// others, and nothing into the host itself. None of them holds a promise; without them a gateway has no egress. A
// network without an uplink has none.
func CompileHost(n topology.Network) Ruleset {
	if !n.HasUplink() {
		return Ruleset{}
	}
	c := compiler{network: n, policy: n.Policy}
	uplink := n.Uplink()
	from, to := is(InIface, uplink), is(OutIface, uplink)
	return Ruleset{Chains: []Chain{
		{Family: Inet, Name: "forward." + uplink, Hook: HookForward, Policy: Accept, Rules: []Rule{
			{ID: c.id("uplink-out"), Match: []Match{from, IsNot{OutIface, uplink}}, Verdict: Accept},
			{ID: c.id("uplink-in"), Match: []Match{to, is(CTState, "established", "related")}, Verdict: Accept},
			{ID: c.id("uplink-closed-tcp"), Match: []Match{to, is(IPProto, "tcp")}, Verdict: ResetTCP, Count: true, Log: c.denyLog()},
			{ID: c.id("uplink-closed"), Match: []Match{to}, Verdict: Reject, Count: true, Log: c.denyLog()}}},
		{Family: Inet, Name: "input." + uplink, Hook: HookInput, Policy: Accept, Rules: []Rule{
			{ID: c.id("host-answered"), Match: []Match{from, is(CTState, "established", "related")}, Verdict: Accept},
			{ID: c.id("host-refused-tcp"), Match: []Match{from, is(IPProto, "tcp")}, Verdict: ResetTCP, Count: true, Log: c.denyLog()},
			{ID: c.id("host-refused"), Match: []Match{from}, Verdict: Reject, Count: true, Log: c.denyLog()}}},
		{Family: Inet, Name: "postrouting." + uplink, Hook: HookPostrouting, Policy: Accept, Rules: []Rule{
			{ID: c.id("egress-nat"), Match: []Match{is(IPSrc, addrStrings(n.Policy.GatewayAddrs())...), IsNot{OutIface, uplink}}, Verdict: Masquerade}}},
	}}
}
