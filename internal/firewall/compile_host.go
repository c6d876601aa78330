package firewall

import (
	"net/netip"
	"strconv"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// CompileWires gives the rules that hold on a host for every wire, whatever its network: nothing that comes from a wire
// enters the host's stack, nothing leaves it towards one. They only ever count packets when the ingress chains are gone.
func CompileWires() Ruleset {
	wires := topology.WirePrefix + "*"
	drop := func(chain string, hook Hook, f Field) Chain {
		return Chain{Family: Inet, Name: chain, Hook: hook, Policy: Accept, Rules: []Rule{
			{ID: "wires/" + string(hook), Match: []Match{is(f, wires)}, Verdict: Drop, Count: true}}}
	}
	forward := drop("forward", HookForward, InIface)
	forward.Rules = append(forward.Rules, Rule{ID: "wires/forward-to", Match: []Match{is(OutIface, wires)}, Verdict: Drop, Count: true})
	return Ruleset{Chains: []Chain{forward, drop("input", HookInput, InIface)}}
}

// host are the chains that guard the host's stack against the network's bridge: what a gateway may send through it.
func (c compiler) host() []Chain {
	chains := []Chain{
		{Family: Inet, Name: c.forward, Hook: HookForward, Policy: Accept, Rules: c.forwarding()},
		{Family: Inet, Name: c.input, Hook: HookInput, Policy: Accept, Rules: c.toHost()},
	}
	if !c.policy.Egress.Off() {
		chains = append(chains, Chain{Family: Inet, Name: c.nat, Hook: HookPostrouting, Policy: Accept, Rules: []Rule{c.masquerade()}})
	}
	return chains
}

func (c compiler) fromBridge(m ...Match) []Match {
	return append([]Match{is(InIface, c.network.Bridge)}, m...)
}

func (c compiler) forwarding() []Rule {
	rules := []Rule{
		{ID: c.id("egress-metadata"), Match: c.fromBridge(is(IPDst, metadata...)), Verdict: Reject, Count: true, Log: c.denyLog()},
	}
	rules = append(rules, c.egress()...)
	to := is(OutIface, c.network.Bridge)
	return append(rules,
		c.resetFromBridge("egress-refused-tcp"),
		Rule{ID: c.id("egress-refused"), Match: c.fromBridge(), Verdict: Reject, Count: true, Log: c.denyLog()},
		Rule{ID: c.id("egress-answer"), Match: []Match{to, is(CTState, "established", "related")}, Verdict: Accept},
		Rule{ID: c.id("inbound-refused"), Match: []Match{to}, Verdict: Drop, Count: true, Log: c.denyLog()})
}

// resetFromBridge refuses a connection at once: a TCP socket takes an ICMP refusal of its first segment for a passing
// trouble and tries again for a second.
func (c compiler) resetFromBridge(what string) Rule {
	return Rule{ID: c.id(what), Match: c.fromBridge(is(IPProto, "tcp")), Verdict: ResetTCP, Count: true, Log: c.denyLog()}
}

func (c compiler) egress() []Rule {
	from := is(IPSrc, addrStrings(c.policy.GatewayAddrs())...)
	away := IsNot{OutIface, c.network.Bridge} // not to another gateway, round about through the host
	tcp, udp := egressPorts(c.policy.Egress)
	var rules []Rule
	if len(tcp) > 0 {
		rules = append(rules, Rule{ID: c.id("egress-tcp"), Match: c.fromBridge(away, from, is(IPProto, "tcp"), is(TCPDst, tcp...)), Verdict: Accept})
	}
	if len(udp) > 0 {
		rules = append(rules, Rule{ID: c.id("egress-udp"), Match: c.fromBridge(away, from, is(IPProto, "udp"), is(UDPDst, udp...)), Verdict: Accept})
	}
	return rules
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

// toHost lets a gateway answer connections that the host opened, and nothing else.
func (c compiler) toHost() []Rule {
	return []Rule{
		{ID: c.id("host-answer"), Match: c.fromBridge(is(CTState, "established", "related")), Verdict: Accept},
		c.resetFromBridge("host-refused-tcp"),
		{ID: c.id("host-refused"), Match: c.fromBridge(), Verdict: Reject, Count: true, Log: c.denyLog()},
	}
}

func (c compiler) masquerade() Rule {
	return Rule{ID: c.id("egress-nat"), Match: []Match{is(IPSrc, addrStrings(c.policy.GatewayAddrs())...), IsNot{OutIface, c.network.Bridge}}, Verdict: Masquerade}
}

func addrStrings(addrs []netip.Addr) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}
