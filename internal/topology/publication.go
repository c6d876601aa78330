package topology

import (
	"fmt"
	"net/netip"
	"slices"
)

// Publication is a TCP port of the host that leads to a gateway (docker run -p).
type Publication struct {
	Endpoint string         `json:"endpoint"`        // id of the gateway's endpoint
	HostIP   netip.Addr     `json:"hostIP,omitzero"` // the one address of the host; invalid: all of them
	HostPort uint16         `json:"hostPort"`        // the port of the host
	To       netip.AddrPort `json:"to"`              // the gateway's
}

// Host is the place on the host, as a listening socket is told it.
func (p Publication) Host() string {
	address := netip.IPv4Unspecified()
	if p.HostIP.IsValid() {
		address = p.HostIP
	}
	return netip.AddrPortFrom(address, p.HostPort).String()
}

// String is the publication as Docker writes it.
func (p Publication) String() string { return fmt.Sprintf("%s->%s/tcp", p.Host(), p.To) }

// WithoutPublications is the network without the published ports of an endpoint.
func (n Network) WithoutPublications(endpoint string) Network {
	n.Published = slices.DeleteFunc(slices.Clone(n.Published), func(p Publication) bool { return p.Endpoint == endpoint })
	return n
}

// PublicationsOf are the published ports of an endpoint.
func (n Network) PublicationsOf(endpoint string) (out []Publication) {
	for _, p := range n.Published {
		if p.Endpoint == endpoint {
			out = append(out, p)
		}
	}
	return out
}
