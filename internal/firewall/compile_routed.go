package firewall

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// routed are the chains of the namespace's IP stack. Whatever ingress hands to the router is refused there, or
// filtered and let out over the uplink.
func (c compiler) routed() []Chain {
	return append([]Chain{
		{Family: Inet, Name: chainRouterIn, Hook: HookPrerouting, Policy: Accept, Rules: c.routerIn()},
		{Family: Inet, Name: chainRefuse, Rules: []Rule{
			{ID: c.id("refuse-tcp"), Match: []Match{is(IPProto, "tcp")}, Do: permit, Verdict: ResetTCP},
			{ID: c.id("refuse"), Do: permit, Verdict: Reject}}},
		{Family: Inet, Name: chainForward, Hook: HookForward, Policy: Drop, Rules: c.forwarding()},
		{Family: Inet, Name: chainInput, Hook: HookInput, Policy: Drop, Rules: append(c.nameInput(),
			Rule{ID: c.id("uplink-no-input"), Match: []Match{fromUplink}, Verdict: Goto{chainRefuse}, Count: true},
			Rule{ID: c.id("no-input"), Verdict: Drop, Count: true})},
	}, append(c.allow(), c.names()...)...)
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
	neighbour := func(who string, mark int) Rule {
		return Rule{ID: c.id(who + "-no-neighbour"), Match: marked(mark, is(IPDst, c.network.Subnet.String())), Count: true, Log: c.denyLog(),
			Verdict: Goto{chainRefuse}}
	}
	rules := []Rule{
		// In the name of an endpoint nobody speaks from outside, and gets no answer, which would go to that endpoint.
		{ID: c.id("uplink-spoofed"), Match: []Match{fromUplink, is(IPSrc, c.network.Subnet.String())}, Verdict: Drop, Count: true},
		{ID: c.id("denied"), Match: marked(topology.MarkDenied), Verdict: Goto{chainRefuse}},
		neighbour("gateway", topology.MarkEgress),
		{ID: c.id("egress"), Match: marked(topology.MarkEgress), Do: permit, Verdict: Accept}}
	if c.hasAllow() {
		rules = append(append(rules, c.nameQuestions(marked)...), neighbour("server", topology.MarkServer),
			Rule{ID: c.id("server-egress"), Match: marked(topology.MarkServer), Do: permit, Verdict: Accept})
	}
	return append(rules, Rule{ID: c.id("unmarked"), Match: []Match{fromRouter}, Verdict: Drop, Count: true})
}

// forwarding filters what a gateway sends beyond the network, and what comes from there. Only the host itself opens
// connections to gateways, and whoever asks for a published port.
func (c compiler) forwarding() []Rule {
	if !c.network.HasUplink() {
		return []Rule{c.deny("no-egress")}
	}
	away := func(m ...Match) []Match { return append([]Match{fromRouter, is(OutIface, topology.UplinkPort)}, m...) }
	back := func(m ...Match) []Match { return append([]Match{fromUplink, is(OutIface, topology.Router)}, m...) }
	rules := []Rule{
		// Somebody who asks for a published port in another's name makes a connection to that other one an answer.
		{ID: c.id("answer-opens"), Match: away(is(CTDir, "reply"), is(IPProto, "tcp"), Opening), Verdict: Goto{chainRefuse}, Count: true,
			Log: c.denyLog()},
		{ID: c.id("host-answer"), Match: away(is(CTDir, "reply"), is(CTState, "established", "related")), Verdict: Accept}}
	rules = slices.Concat(rules, c.toAllow(away), c.egress(away))
	return append(append(rules, c.allowAnswer(back)...),
		Rule{ID: c.id("egress-refused"), Match: []Match{fromRouter}, Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()},
		Rule{ID: c.id("egress-answer"), Match: back(in(setAttached, IPDst), is(CTState, "established", "related")), Do: permit, Verdict: Accept},
		Rule{ID: c.id("published"), Match: back(is(IPProto, "tcp"), in(setAttached, IPDst), in(setPublished, IPDst, TCPDst)), Do: permit, Verdict: Accept},
		Rule{ID: c.id("host-connect"), Match: back(in(SetHost, IPSrc), in(setAttached, IPDst)), Do: permit, Verdict: Accept},
		Rule{ID: c.id("inbound-refused"), Match: []Match{fromUplink}, Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()})
}

// egress are the rules for what gateways open beyond the network. A resolver is most often a private address: dns is
// for every address that is not the host's nor of metadata.
func (c compiler) egress(away func(...Match) []Match) []Rule {
	refuse := func(what string, m Match) Rule {
		return Rule{ID: c.id(what), Match: away(m), Verdict: Goto{chainRefuse}, Count: true, Log: c.denyLog()}
	}
	to, ports := c.policy.EgressTo, c.policy.Egress.Ports
	rules := c.acceptWithin("egress-written", ports, away, writtenOut(to.Prefixes))
	rules = append(rules, refuse("egress-metadata", within(policy.Metadata)), refuse("egress-host", in(SetHost, IPDst)))
	if c.policy.Egress.DNS {
		rules = append(rules, c.accept("egress-dns", dnsPorts, away)...)
	}
	switch {
	case to.Any:
		return append(rules, c.accept("egress", ports, away)...)
	case to.Only:
		return append(rules, c.acceptWithin("egress", ports, away, to.Prefixes)...)
	}
	rules = append(rules, c.acceptWithin("egress-listed", ports, away, to.Prefixes)...)
	rules = append(rules, refuse("egress-private", within(policy.NotPublic)))
	return append(rules, c.accept("egress", ports, away)...)
}

// dnsPorts are those of name resolution (RFC 1035, 4.2).
var dnsPorts = []policy.Port{{Protocol: policy.TCP, Number: 53}, {Protocol: policy.UDP, Number: 53}}

// within matches destinations within prefixes.
func within(prefixes []netip.Prefix) Match {
	text := make([]string, len(prefixes))
	for i, p := range prefixes {
		text[i] = strings.TrimSuffix(p.String(), "/32")
	}
	return is(IPDst, text...)
}

// writtenOut gives those that are a single address of a metadata service: an entry opens it only so (P7).
func writtenOut(prefixes []netip.Prefix) (out []netip.Prefix) {
	for _, p := range prefixes {
		if p.IsSingleIP() && slices.ContainsFunc(policy.Metadata, p.Overlaps) {
			out = append(out, p)
		}
	}
	return out
}

func (c compiler) acceptWithin(what string, ports []policy.Port, away func(...Match) []Match, prefixes []netip.Prefix) []Rule {
	if len(prefixes) == 0 {
		return nil
	}
	return c.accept(what, ports, away, within(prefixes))
}

// accept are the rules that let gateways open these ports, one for each protocol.
func (c compiler) accept(what string, ports []policy.Port, away func(...Match) []Match, to ...Match) (rules []Rule) {
	if len(c.policy.Gateways) == 0 {
		return nil
	}
	from := append([]Match{is(IPSrc, addrStrings(c.policy.GatewayAddrs())...)}, to...)
	for _, p := range []struct {
		protocol policy.Protocol
		field    Field
	}{{policy.TCP, TCPDst}, {policy.UDP, UDPDst}} {
		if numbers := numbersOf(ports, p.protocol); len(numbers) > 0 {
			match := append(slices.Clone(from), is(IPProto, string(p.protocol)), is(p.field, numbers...))
			rules = append(rules, Rule{ID: c.id(what + "-" + string(p.protocol)), Match: away(match...), Verdict: Accept})
		}
	}
	return rules
}

func numbersOf(ports []policy.Port, protocol policy.Protocol) (out []string) {
	for _, p := range ports {
		if p.Protocol == protocol {
			out = append(out, strconv.Itoa(int(p.Number)))
		}
	}
	return out
}

func addrStrings(addrs []netip.Addr) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}
