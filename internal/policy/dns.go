package policy

import (
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// parseDNS reads the dns option. Resolver addresses and filter need a path
// through the host, which this version does not build.
func parseDNS(value string) (DNS, problem.List) {
	if value == "filter" {
		return "", bad(value, later)
	}
	if isAddrList(value) {
		return "", bad(value, "resolver addresses are "+later)
	}
	return parseWord(value, DNSOff, DNSGateway)
}

func isAddrList(value string) bool {
	for _, item := range items(value) {
		if _, err := netip.ParseAddr(item); err != nil {
			return false
		}
	}
	return true
}
