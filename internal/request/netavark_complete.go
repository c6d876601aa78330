package request

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
)

// Complete chooses what was not said: a subnet around the gateways that none of the host's overlaps, the bridge's
// address, and a range to assign from that leaves out the gateways' addresses, so that who has one asked for it. An
// error is a problem.List that names everything that is wrong with the network.
func (n NetavarkNetwork) Complete(used []netip.Prefix) (NetavarkNetwork, error) {
	parsed, _ := policy.Parse(n.Options) // what is wrong with it is said below
	gateways := parsed.GatewayAddrs()
	var problems problem.List
	switch {
	case len(n.Subnets) == 0 && len(gateways) == 0:
		_, err := n.words().Policy()
		return n, err
	case len(n.Subnets) == 0:
		var subnet NetavarkSubnet
		subnet, problems = subnetAround(gateways[0], used)
		n.Subnets = []NetavarkSubnet{subnet}
	default:
		n.Subnets = slices.Clone(n.Subnets)
	}
	problems = append(problems, n.Subnets[0].complete(gateways)...)
	w := n.Words()
	w.Problems = slices.Concat(w.Problems, problems)
	_, err := w.Network()
	return n, err
}

// chosenBits is the length of a subnet that nobody named.
const chosenBits = 24

// subnetAround chooses a subnet that holds a gateway, if no interface of the host is in it.
func subnetAround(gateway netip.Addr, used []netip.Prefix) (s NetavarkSubnet, problems problem.List) {
	s.Subnet = netip.PrefixFrom(gateway, chosenBits).Masked()
	for _, u := range used {
		if u.Overlaps(s.Subnet) {
			problems = append(problems, problem.Problem{Key: podman.Subnet,
				Accepted: "a free subnet with the gateway in it",
				Reason: fmt.Sprintf("none given, and %s around the gateway %s overlaps %s of this host", s.Subnet,
					gateway, u)})
		}
	}
	return s, problems
}

var podman = surface.Netavark.Words

// mostBits is the longest prefix in which there is something to choose; others are refused with the policy.
const mostBits = 30

// complete chooses the bridge's address and the range that Podman assigns from.
func (s *NetavarkSubnet) complete(gateways []netip.Addr) problem.List {
	if !s.Subnet.IsValid() || !s.Subnet.Addr().Is4() || s.Subnet.Bits() > mostBits {
		return nil
	}
	if !s.Gateway.IsValid() {
		s.Gateway = s.Subnet.Masked().Addr().Next()
	}
	if s.Lease == nil {
		return s.choose(append(slices.Clone(gateways), s.Gateway))
	}
	r, ok := s.leased()
	if !ok {
		return problem.List{{Key: podman.Range, Value: rangeText(s.Lease.Start, s.Lease.End),
			Reason: "not a range of the subnet's addresses", Accepted: "a range of " + s.Subnet.Masked().String() +
				", " + orNone}}
	}
	s.Lease = &NetavarkLease{r.From(), r.To()}
	var problems problem.List
	for _, g := range gateways {
		if r.Contains(g) {
			problems = append(problems, problem.Problem{Key: podman.Range, Value: rangeText(r.From(), r.To()),
				Reason:   fmt.Sprintf("Podman would give the gateway's address %s to any container", g),
				Accepted: "a range without it, " + orNone})
		}
	}
	return problems
}

const orNone = "or none: mcpnet chooses one then"

func rangeText(start, end netip.Addr) string {
	var ends []string
	for _, a := range []netip.Addr{start, end} {
		if a.IsValid() {
			ends = append(ends, a.String())
		}
	}
	return strings.Join(ends, " to ")
}

// choose takes the longest run of addresses of the subnet without the ones named, its first and its last.
func (s *NetavarkSubnet) choose(without []netip.Addr) problem.List {
	whole := netipx.RangeOfPrefix(s.Subnet)
	var b netipx.IPSetBuilder
	b.AddRange(whole)
	for _, a := range append(without, whole.From(), whole.To()) {
		b.Remove(a)
	}
	free, err := b.IPSet()
	if err != nil || len(free.Ranges()) == 0 {
		return problem.List{{Key: podman.Subnet, Value: s.Subnet.String(),
			Reason:   "holds nothing but the bridge and gateways",
			Accepted: "a subnet with room for servers"}}
	}
	longest := slices.MaxFunc(free.Ranges(), func(a, b netipx.IPRange) int { return length(a) - length(b) })
	s.Lease = &NetavarkLease{longest.From(), longest.To()}
	return nil
}

func length(r netipx.IPRange) int {
	return int(binary.BigEndian.Uint32(r.To().AsSlice())) - int(binary.BigEndian.Uint32(r.From().AsSlice()))
}
