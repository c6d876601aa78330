package topology

import (
	"fmt"
	"net/netip"
)

// Route leads to a prefix, over a next hop or, without one, on the link.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
}

// String is the route as `ip route` shows it.
func (r Route) String() string {
	if r.Via.IsValid() {
		return fmt.Sprintf("%s via %s", r.Dst, r.Via)
	}
	return r.Dst.String()
}

// Traffic counts packets and bytes.
type Traffic struct{ Packets, Bytes uint64 }
