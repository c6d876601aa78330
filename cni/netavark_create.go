package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// createNetavark completes a network that Podman is about to make, and refuses what would fail later. Nothing is made in the
// kernel before the first container. Fields that it does not know pass through.
func createNetavark(in io.Reader) (any, error) {
	var fields map[string]json.RawMessage
	var n netavarkNetwork
	data, err := io.ReadAll(in)
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	if err != nil {
		return nil, fmt.Errorf("create: standard input: %w", err)
	}
	if err := n.complete(); err != nil {
		return nil, err
	}
	if _, err := n.topology(); err != nil {
		return nil, err
	}
	for key, value := range map[string]any{"subnets": n.Subnets, "dns_enabled": false, "ipam_options": map[string]string{"driver": "host-local"}} {
		if fields[key], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// complete chooses what was not said: a subnet around the gateways, the bridge's address, and a range to assign from that
// leaves out the gateways' addresses, so that who has one asked for it.
func (n *netavarkNetwork) complete() error {
	parsed, err := policy.Parse(n.Options)
	if err != nil {
		return nil // topology names every problem
	}
	gateways := parsed.GatewayAddrs()
	if len(n.Subnets) == 0 {
		subnet, err := subnetAround(gateways)
		if err != nil {
			return err
		}
		n.Subnets = []netavarkSubnet{{Subnet: subnet}}
	}
	s := &n.Subnets[0]
	if !s.Subnet.Addr().Is4() || s.Subnet.Bits() > 30 {
		return nil
	}
	if !s.Gateway.IsValid() {
		s.Gateway = s.Subnet.Masked().Addr().Next()
	}
	if s.Lease == nil {
		lease := widest(s.Subnet.Masked(), append(slices.Clone(gateways), s.Gateway))
		s.Lease = &lease
		return nil
	}
	for _, g := range gateways {
		if !g.Less(s.Lease.Start) && !s.Lease.End.Less(g) && s.Lease.Start.IsValid() && s.Lease.End.IsValid() {
			return problem.List{{Key: "--ip-range", Value: s.Lease.Start.String() + " to " + s.Lease.End.String(),
				Reason: fmt.Sprintf("Podman would give the gateway's address %s to any container", g), Accepted: "a range without it, or none: mcpnet chooses one then"}}
		}
	}
	return nil
}

// chosenBits is the length of a subnet that nobody named.
const chosenBits = 24

// subnetAround chooses a subnet that holds the gateways, if no interface of the host is in it.
func subnetAround(gateways []netip.Addr) (netip.Prefix, error) {
	subnet := netip.PrefixFrom(gateways[0], chosenBits).Masked()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return subnet, err
	}
	for _, a := range addrs {
		used, err := netip.ParsePrefix(a.String())
		if err == nil && used.Overlaps(subnet) {
			return subnet, problem.List{{Key: "--subnet", Reason: fmt.Sprintf("none given, and %s around the gateway %s overlaps %s of this host", subnet, gateways[0], used), Accepted: "a free subnet with the gateway in it"}}
		}
	}
	return subnet, nil
}

// widest is the longest run of addresses of a subnet without the ones named, its first and its last.
func widest(subnet netip.Prefix, without []netip.Addr) netavarkLease {
	last := subnet.Addr().As4()
	for bit := subnet.Bits(); bit < 32; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	cuts := append(slices.Clone(without), subnet.Addr(), netip.AddrFrom4(last))
	slices.SortFunc(cuts, netip.Addr.Compare)
	var best netavarkLease
	width := uint32(0)
	for i, cut := range cuts[:len(cuts)-1] {
		if w := number(cuts[i+1]) - number(cut); w > width+1 && subnet.Contains(cut) {
			best, width = netavarkLease{cut.Next(), cuts[i+1].Prev()}, w-1
		}
	}
	return best
}

func number(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}
