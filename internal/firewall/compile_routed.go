package firewall

import (
	"net/netip"
	"strconv"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// routed are the chains of the namespace's IP stack. Whatever ingress hands to the router is refused there, or
// filtered and let out over the uplink.
func (c compiler) routed() []Chain {
	return []Chain{
		{Family: Inet, Name: chainRouterIn, Hook: HookPrerouting, Policy: Accept, Rules: c.routerIn()},
		{Family: Inet, Name: chainRefuse, Rules: []Rule{
			{ID: c.id("refuse-tcp"), Match: []Match{is(IPProto, "tcp")}, Do: permit, Verdict: ResetTCP},
			{ID: c.id("refuse"), Do: permit, Verdict: Reject}}},
		{Family: Inet, Name: chainForward, Hook: HookForward, Policy: Drop, Rules: c.forwarding()},
		{Family: Inet, Name: chainInput, Hook: HookInput, Policy: Drop, Rules: []Rule{
			{ID: c.id("uplink-no-input"), Match: []Match{fromUplink}, Verdict: Goto{chainRefuse}, Count: true},
			{ID: c.id("no-input"), Verdict: Drop, Count: true}}},
	}
}

var (
	fromRouter = is(InIface, topology.Router)
	fromUplink = is(InIface, topology.UplinkPort)
	permit     = []Statement{SetMark{topology.MarkPermitted}}
)

// routerIn decides by the mark before anything is routed, or tracked. What is addressed to the network's own subnet
// was meant for a neighbour or for the router, neither of which anybody reaches.
func (c compiler) routerIn() []Rule {
	marked := func(mark int, more ...Match) []Match {
		return append([]Match{fromRouter, is(Mark, strconv.Itoa(mark))}, more...)
	}
	return []Rule{
		{ID: c.id("denied"), Match: marked(topology.MarkDenied), Verdict: Goto{chainRefuse}},
		{ID: c.id("gateway-no-neighbour"), Match: marked(topology.MarkEgress, is(IPDst, c.network.Subnet.String())), Count: true, Log: c.denyLog(), Verdict: Goto{chainRefuse}},
		{ID: c.id("egress"), Match: marked(topology.MarkEgress), Do: permit, Verdict: Accept},
		{ID: c.id("unmarked"), Match: []Match{fromRouter}, Verdict: Drop, Count: true},
	}
}

// forwarding filters what a gateway sends beyond the network, and what comes from there. Only the host itself opens
// connections to gateways.
func (c compiler) forwarding() []Rule {
	if !c.network.HasUplink() {
		return []Rule{c.deny("no-egress")}
	}
	away := func(m ...Match) []Match { return append([]Match{fromRouter, is(OutIface, topology.UplinkPort)}, m...) }
	back := func(m ...Match) []Match { return append([]Match{fromUplink, is(OutIface, topology.Router)}, m...) }
	gateways := addrStrings(c.policy.GatewayAddrs())
	rules := []Rule{
		{ID: c.id("host-answer"), Match: away(is(CTDir, "reply"), is(CTState, "established", "related")), Verdict: Accept},
		{ID: c.id("egress-metadata"), Match: away(is(IPDst, metadata...)), Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()},
		{ID: c.id("egress-host"), Match: away(in(SetHost, IPDst)), Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()},
	}
	tcp, udp := egressPorts(c.policy.Egress)
	from := is(IPSrc, gateways...)
	if len(tcp) > 0 {
		rules = append(rules, Rule{ID: c.id("egress-tcp"), Match: away(from, is(IPProto, "tcp"), is(TCPDst, tcp...)), Verdict: Accept})
	}
	if len(udp) > 0 {
		rules = append(rules, Rule{ID: c.id("egress-udp"), Match: away(from, is(IPProto, "udp"), is(UDPDst, udp...)), Verdict: Accept})
	}
	return append(rules,
		Rule{ID: c.id("egress-refused"), Match: []Match{fromRouter}, Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()},
		Rule{ID: c.id("egress-answer"), Match: back(in(setAttached, IPDst), is(CTState, "established", "related")), Do: permit, Verdict: Accept},
		Rule{ID: c.id("host-connect"), Match: back(in(SetHost, IPSrc), in(setAttached, IPDst)), Do: permit, Verdict: Accept},
		Rule{ID: c.id("inbound-refused"), Match: []Match{fromUplink}, Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()})
}

func egressPorts(e policy.Egress) (tcp, udp []string) {
	ports := e.Ports
	if e.DNS {
		ports = append([]policy.Port{{Protocol: policy.TCP, Number: 53}, {Protocol: policy.UDP, Number: 53}}, ports...)
	}
	seen := map[policy.Port]bool{}
	for _, p := range ports {
		if seen[p] {
			continue
		}
		seen[p] = true
		number := strconv.Itoa(int(p.Number))
		if p.Protocol == policy.UDP {
			udp = append(udp, number)
		} else {
			tcp = append(tcp, number)
		}
	}
	return tcp, udp
}

func addrStrings(addrs []netip.Addr) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}
