package ipam

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator"
	"go4.org/netipx"
)

// exclude cuts addresses out of ranges.
func exclude(ranges allocator.RangeSet, addrs []netip.Addr) (out allocator.RangeSet, err error) {
	for _, r := range ranges {
		var b netipx.IPSetBuilder
		b.AddRange(span(r))
		for _, a := range addrs {
			b.Remove(a)
		}
		left, err := b.IPSet()
		if err != nil {
			return nil, fmt.Errorf("ipam %s: range %s: %w", HostLocal, r.String(), err)
		}
		for _, part := range left.Ranges() {
			r.RangeStart, r.RangeEnd = part.From().AsSlice(), part.To().AsSlice()
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return nil, BadConfig{"ipam.ranges", ranges.String(), "holds nothing but addresses of gateways: widen it",
			"a range with room for servers"}
	}
	return out, nil
}

// span is a range without what else the library keeps of it.
func span(r allocator.Range) netipx.IPRange {
	from, _ := netipx.FromStdIP(r.RangeStart)
	to, _ := netipx.FromStdIP(r.RangeEnd)
	return netipx.IPRangeFrom(from, to)
}

// include adds addresses of the subnet that lie outside the ranges.
func include(ranges allocator.RangeSet, addrs []netip.Addr) allocator.RangeSet {
	out := append(allocator.RangeSet(nil), ranges...)
	for _, a := range addrs {
		ip := net.IP(a.AsSlice())
		if !out.Contains(ip) && subnetOf(ranges[0]).Contains(a) {
			one := ranges[0]
			one.RangeStart, one.RangeEnd = ip, ip
			out = append(out, one)
		}
	}
	return out
}
