package ipam

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator"
)

// exclude cuts addresses out of ranges.
func exclude(ranges allocator.RangeSet, addrs []netip.Addr) (allocator.RangeSet, error) {
	out := ranges
	for _, a := range addrs {
		var cut allocator.RangeSet
		for _, r := range out {
			cut = append(cut, cutOut(r, a)...)
		}
		out = cut
	}
	if len(out) == 0 {
		return nil, BadConfig{"ipam.ranges", ranges.String(), "holds nothing but addresses of gateways: widen it", "a range with room for servers"}
	}
	return out, nil
}

// cutOut gives what a range is without an address: itself, a shorter one, two, or none.
func cutOut(r allocator.Range, a netip.Addr) (out allocator.RangeSet) {
	if !r.Contains(net.IP(a.AsSlice())) {
		return allocator.RangeSet{r}
	}
	before, after := r, r
	before.RangeEnd, after.RangeStart = net.IP(a.Prev().AsSlice()), net.IP(a.Next().AsSlice())
	for _, part := range []allocator.Range{before, after} {
		if bytes.Compare(part.RangeStart.To4(), part.RangeEnd.To4()) <= 0 {
			out = append(out, part)
		}
	}
	return out
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
