package firewall

// A server whose container is not known to keep to the policy is held: its wire answers ARP and drops all else, so that the
// first retransmission goes through once it is admitted. One whose container is known not to is quarantined: what it tries
// is refused at once.

// heldChains are where the wires of such servers lead.
func (c compiler) heldChains() []Chain {
	refused := c.closedPort()
	refused.ID = c.id("quarantined-tcp")
	refused.Match = append([]Match{is(EtherType, "ip"), in(c.own, InIface, EtherSrc, IPSrc)}, refused.Match...)
	return []Chain{
		{Family: NetDev, Name: c.held, Rules: []Rule{c.heldARP("held-arp"), c.deny("held")}},
		{Family: NetDev, Name: c.quarantine, Rules: []Rule{c.heldARP("quarantined-arp"), refused, c.deny("quarantined")}},
	}
}

func (c compiler) heldARP(what string) Rule {
	own := func(mac Field) Match { return in(c.own, InIface, mac, ARPSrcIP) }
	return Rule{ID: c.id(what), Match: []Match{is(EtherType, "arp"), own(EtherSrc), own(ARPSrcMAC)}, Verdict: Goto{c.serverARP}}
}

// heldSet holds whom gateways must not reach yet.
func (c compiler) heldSet() Set {
	return Set{Family: NetDev, Name: c.heldWay, Key: []Type{EtherAddr, IPv4Addr}, Held: true}
}

// toHeld drops what a gateway says to a held server, where one that is not there would be answered with a reset.
func (c compiler) toHeld() Rule {
	return Rule{ID: c.id("to-held"), Match: all(plainIP, []Match{in(c.heldWay, toDestination...)}), Verdict: Drop, Count: true, Log: c.denyLog()}
}
