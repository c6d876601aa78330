package policy

import (
	"strconv"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// keys is the vocabulary: the one place where an option key stands with its
// values, its default and its meaning.
var keys = []key{
	supported(doc(KeyGateway, "ip:port[/tcp|udp], comma-separated", "required",
		"where servers may connect"),
		func(v string) ([]Gateway, problem.List) { return parseList(v, parseGateway) },
		func(p *Policy) *[]Gateway { return &p.Gateways }, join[Gateway]),
	supported(doc(KeyConnect, "off, tcp, or a list of tcp/PORT, comma-separated", "tcp",
		"what the gateway may open towards servers"),
		parseConnect, func(p *Policy) *Connect { return &p.Connect }, Connect.String),
	supported(doc(KeyEgress, "off, or a list of tcp/PORT, udp/PORT and dns, comma-separated", "tcp/443,tcp/80,dns",
		"what a gateway may open outside the network, through NAT"),
		parseEgress, func(p *Policy) *Egress { return &p.Egress }, Egress.String),
	supported(doc(KeyEgressTo, "public, any, or a list of prefixes and addresses, comma-separated, also beside public", "public",
		"where a gateway's egress may lead; public is no private, shared or link-local address"),
		parseDestinations, func(p *Policy) *Destinations { return &p.EgressTo }, Destinations.String),
	narrowed(supported(doc(KeyAllow, "off, or a list of name[:port], *.name[:port], cidr[:port[/tcp|udp]], comma-separated", "off",
		"what servers may reach beside their gateways; the port is 443 where none is given"),
		parseAllow, func(p *Policy) *Allow { return &p.Allow }, Allow.String)),
	supported(doc(KeyDNS, "off, gateway, filter", "off",
		"who answers servers for names other than those of containers on the network; filter answers those of mcpnet.allow and no others, and is the default where that has names"),
		parseDNS, func(p *Policy) *DNS { return &p.DNS }, text[DNS]),
	supported(doc(KeyLog, "off, denied, all", "denied",
		"which connections are reported, rate-limited, with rule ids"),
		words(LogOff, LogDenied, LogAll), func(p *Policy) *Log { return &p.Log }, text[Log]),
	supported(doc(KeyMode, "enforce, audit", "enforce",
		"audit reports what enforce would deny; host, peers and identity stay enforced"),
		words(ModeEnforce, ModeAudit), func(p *Policy) *Mode { return &p.Mode }, text[Mode]),
	supported(doc(KeyCaps, "none, or capability names, comma-separated", "NET_BIND_SERVICE",
		"what a server's process may hold at most"),
		parseCaps, func(p *Policy) *Caps { return &p.Caps }, Caps.String),
	supported(doc(KeyCapsMode, "enforce, guard, audit, off", "guard",
		"what happens to a server whose container has another way out or holds more: with guard the first passes nothing and the second is reported, "+
			"with enforce nobody passes anything before it is known to conform, with audit both are reported"),
		words(CapsEnforce, CapsGuard, CapsAudit, CapsOff), func(p *Policy) *CapsMode { return &p.CapsMode }, text[CapsMode]),
	supported(doc(KeyFirewall, "auto, nftables", "auto",
		"nftables leaves the host's iptables alone"),
		words(FirewallAuto, FirewallNFTables), func(p *Policy) *Firewall { return &p.Firewall }, text[Firewall]),
	supported(doc(KeyBridge, "an interface name of 1 to 15 letters, digits, _ . -, beginning with a letter", "none",
		"the name of the bridge; chosen by mcpnet where not set"),
		parseBridge, func(p *Policy) *string { return &p.Bridge }, text[string]),
	supported(doc(KeyMTU, "576 to 65535", "1500",
		"the largest packet in bytes, on the bridge and on every wire"),
		parseMTU, func(p *Policy) *int { return &p.MTU }, strconv.Itoa),
	{KeyDoc: KeyDoc{Key: KeyRole, Values: "server, gateway", Default: "none", Supported: true, Endpoint: true,
		Meaning: "what the endpoint is; where not set, a server unless its gateway address was asked for"}},

	unsupported(keyRedirect, "off, ports, or name:port, comma-separated", "off",
		"transparent redirection of servers' traffic on those ports to the gateway"),
	unsupported("mcpnet.redirect.exclude", "cidr, comma-separated", "none",
		"destinations that are not redirected, beside loopback and the subnet"),
	unsupported(limitPrefix+"rate", "N/min burst N", "none", "new connections per server"),
	unsupported(limitPrefix+"conns", "a number", "none", "concurrent connections per server"),
	unsupported(limitPrefix+"hits", "N/SECONDSs", "none",
		"hits per source on the gateway before it is shut out for the window"),
	unsupported("mcpnet.log.prefix", "text", "mcpnet", "prefix of kernel log lines"),
	unsupported("mcpnet.monitor", "cidr, comma-separated", "none",
		"sources that may reach servers and gateways"),
	unsupported("mcpnet.vlan", "parent.id, such as eth0.100", "none",
		"the VLAN that is the bridge's uplink"),
}

// words makes the parser of an option whose value is one of a few words.
func words[T ~string](accepted ...T) func(string) (T, problem.List) {
	return func(value string) (T, problem.List) { return parseWord(value, accepted...) }
}

func text[T ~string](v T) string { return string(v) }
