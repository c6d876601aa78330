package ipam

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator"
)

// ranges are of one subnet: "FROM-TO FROM-TO".
func ranges(t *testing.T, text string) (out allocator.RangeSet) {
	t.Helper()
	_, subnet, err := net.ParseCIDR("172.20.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strings.Fields(text) {
		from, to, _ := strings.Cut(r, "-")
		out = append(out, allocator.Range{RangeStart: net.ParseIP(from), RangeEnd: net.ParseIP(to),
			Subnet: types.IPNet(*subnet), Gateway: net.ParseIP("172.20.0.1")})
	}
	return out
}

func text(set allocator.RangeSet) string {
	var out []string
	for _, r := range set {
		out = append(out, r.RangeStart.String()+"-"+r.RangeEnd.String())
	}
	return strings.Join(out, " ")
}

func addrs(text string) (out []netip.Addr) {
	for _, a := range strings.Fields(text) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func TestExclude(t *testing.T) {
	for name, c := range map[string]struct{ ranges, without, want string }{
		"nothing":      {"172.20.0.2-172.20.0.9", "", "172.20.0.2-172.20.0.9"},
		"outside":      {"172.20.0.2-172.20.0.9", "172.20.0.100", "172.20.0.2-172.20.0.9"},
		"the middle":   {"172.20.0.2-172.20.0.9", "172.20.0.5", "172.20.0.2-172.20.0.4 172.20.0.6-172.20.0.9"},
		"the first":    {"172.20.0.2-172.20.0.9", "172.20.0.2", "172.20.0.3-172.20.0.9"},
		"the last":     {"172.20.0.2-172.20.0.9", "172.20.0.9", "172.20.0.2-172.20.0.8"},
		"neighbours":   {"172.20.0.2-172.20.0.9", "172.20.0.5 172.20.0.6", "172.20.0.2-172.20.0.4 172.20.0.7-172.20.0.9"},
		"of two":       {"172.20.0.2-172.20.0.3 172.20.0.8-172.20.0.9", "172.20.0.8", "172.20.0.2-172.20.0.3 172.20.0.9-172.20.0.9"},
		"one of two":   {"172.20.0.2-172.20.0.2 172.20.0.8-172.20.0.9", "172.20.0.2", "172.20.0.8-172.20.0.9"},
		"all there is": {"172.20.0.2-172.20.0.2", "172.20.0.2", ""},
	} {
		got, err := exclude(ranges(t, c.ranges), addrs(c.without))
		if text(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: got %s, %v, want %s", name, text(got), err, c.want)
		}
		for _, r := range got {
			if r.Gateway.String() != "172.20.0.1" || subnetOf(r).String() != "172.20.0.0/16" {
				t.Errorf("%s: %+v is not of the subnet", name, r)
			}
		}
	}
}

func TestInclude(t *testing.T) {
	for name, c := range map[string]struct{ ranges, with, want string }{
		"inside":        {"172.20.0.2-172.20.0.9", "172.20.0.5", "172.20.0.2-172.20.0.9"},
		"outside":       {"172.20.0.2-172.20.0.9", "172.20.0.100", "172.20.0.2-172.20.0.9 172.20.0.100-172.20.0.100"},
		"of another":    {"172.20.0.2-172.20.0.9", "10.0.0.1", "172.20.0.2-172.20.0.9"},
		"two of one":    {"172.20.0.2-172.20.0.9", "172.20.1.1 172.20.1.1", "172.20.0.2-172.20.0.9 172.20.1.1-172.20.1.1"},
		"nothing to do": {"172.20.0.2-172.20.0.9", "", "172.20.0.2-172.20.0.9"},
	} {
		if got := text(include(ranges(t, c.ranges), addrs(c.with))); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
