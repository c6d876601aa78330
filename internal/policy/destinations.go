package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// Words of a list of destinations.
const (
	publicWord = "public"
	anyWord    = "any"
)

// Destinations says where a gateway's egress may lead. Its zero value is every public address. Whatever it says, the
// host's own addresses stay closed, and those of metadata services unless one is written out (P7).
type Destinations struct {
	Any      bool           `json:"any,omitempty"`      // every address; the rest is then empty
	Only     bool           `json:"only,omitempty"`     // no address but those of Prefixes
	Prefixes []netip.Prefix `json:"prefixes,omitempty"` // IPv4, masked, in the order given, no duplicates
}

// NotPublic are the prefixes that no address of the internet is in (IANA, IPv4 Special-Purpose Address Registry):
// private, shared, of a link or a host, for tests of devices, multicast and reserved. Those for documentation lead
// nowhere, and may stand for the internet in a laboratory.
var NotPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("224.0.0.0/3"),
}

// String returns the form that options have: "public", "any", or prefixes, also after "public".
func (d Destinations) String() string {
	switch {
	case d.Any:
		return anyWord
	case d.Only:
		return join(d.Prefixes)
	case len(d.Prefixes) == 0:
		return publicWord
	}
	return publicWord + "," + join(d.Prefixes)
}

// parseDestinations reads what Destinations.String writes, with public at any place. An address stands for its prefix
// of 32 bits.
func parseDestinations(value string) (Destinations, problem.List) {
	if strings.TrimSpace(value) == anyWord {
		return Destinations{Any: true}, nil
	}
	list, problems := parseList(value, parseDestination)
	d := Destinations{Only: !slices.Contains(list, netip.Prefix{})}
	for _, p := range list {
		if p.IsValid() {
			d.Prefixes = append(d.Prefixes, p)
		}
	}
	return d, problems
}

// parseDestination reads one item of the list: a prefix, or as its zero value public.
func parseDestination(item string) (netip.Prefix, problem.List) {
	if a, err := netip.ParseAddr(item); err == nil && a.Is4() {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(item)
	switch lower := strings.ToLower(item); {
	case item == publicWord:
		return netip.Prefix{}, nil
	case item == anyWord:
		return p, bad(item, "any stands alone")
	case lower == publicWord || lower == anyWord:
		return p, problem.List{{Value: item, Reason: "values are written in lower case", Nearest: lower}}
	case err != nil:
		return p, problem.List{{Value: item, Reason: "is neither public, any, an address nor a prefix such as 10.1.0.0/16",
			Nearest: problem.Nearest(item, []string{publicWord, anyWord})}}
	case !p.Addr().Is4():
		return p, bad(item, "is not IPv4: egress is IPv4 only")
	case p.Bits() == 0:
		return p, problem.List{{Value: item, Reason: "is every address", Nearest: anyWord}}
	case p != p.Masked():
		return p, problem.List{{Value: item, Reason: "has bits beyond its length", Nearest: p.Masked().String()}}
	}
	return p, nil
}
