package policy

import (
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// parseDNS reads the dns option. Resolver addresses need a path through the
// host, which this version does not build.
func parseDNS(value string) (DNS, problem.List) {
	if isAddrList(value) {
		return "", bad(value, "resolver addresses are "+later)
	}
	return parseWord(value, DNSOff, DNSGateway, DNSFilter)
}

// resolve has names answered by the filter where the list has any. Another answer was asked for in vain.
func (p *Policy) resolve(asked string) problem.List {
	wrong := problem.Problem{Key: KeyDNS, Value: asked, Accepted: string(DNSFilter) + ", or no " + KeyDNS}
	switch {
	case p.HasNames() && asked != "" && p.DNS != DNSFilter:
		wrong.Reason = "names of " + KeyAllow + " are answered by the filter alone"
	case !p.HasNames() && p.DNS == DNSFilter:
		wrong.Reason = "the filter answers names of " + KeyAllow + ", and that has none"
		wrong.Accepted = "off, gateway, or names in " + KeyAllow
	default:
		if p.HasNames() {
			p.DNS = DNSFilter
		}
		return nil
	}
	return problem.List{wrong}
}

func isAddrList(value string) bool {
	for _, item := range items(value) {
		if _, err := netip.ParseAddr(item); err != nil {
			return false
		}
	}
	return true
}
