package policy

import (
	"net/netip"

	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// The flags of "docker network create" that Validate's problems are about;
// other engines have the same words.
const (
	flagIPv6   = "--ipv6"
	flagSubnet = "--subnet"

	flagBridgeAddr = "--gateway"
)

// maxBits is the longest prefix that has room for the bridge and a gateway.
const maxBits = 30

// Network is what Validate must know of the network that a policy is for.
type Network struct {
	Subnet     netip.Prefix // IPv4; host bits may be set
	BridgeAddr netip.Addr   // the bridge's own address; the zero Addr if it has none
	IPv6       bool         // the network was asked for with IPv6
}

// Validate checks what neither the policy nor the network can say alone. An
// error is of type problem.List and names everything that is wrong.
func (p Policy) Validate(n Network) error {
	var problems problem.List
	if n.IPv6 {
		problems = append(problems, problem.Problem{
			Key:      flagIPv6,
			Reason:   "IPv6 is denied entirely on mcpnet networks in this version",
			Accepted: "IPv4 alone: drop --ipv6",
		})
	}
	if !n.Subnet.IsValid() || !n.Subnet.Addr().Is4() {
		problems = append(problems, subnetProblem(n.Subnet, "an IPv4 subnet is needed"))
		return problems.Err()
	}
	if n.Subnet.Bits() > maxBits {
		problems = append(problems, subnetProblem(n.Subnet, "too small for a bridge and a gateway"))
	}
	if n.BridgeAddr.IsValid() && !n.Subnet.Masked().Contains(n.BridgeAddr.Unmap()) {
		problems = append(problems, problem.Problem{Key: flagBridgeAddr, Value: n.BridgeAddr.String(),
			Reason: "the bridge's address is not in the subnet", Accepted: "an address of " + n.Subnet.Masked().String()})
	}
	if p.HasNames() && n.Subnet.Overlaps(NamePool) {
		problems = append(problems, problem.Problem{Key: flagSubnet, Value: n.Subnet.String(),
			Reason:   "overlaps " + NamePool.String() + ", whose addresses stand for names of " + KeyAllow,
			Accepted: "another subnet"})
	}
	for _, addr := range p.GatewayAddrs() {
		problems = append(problems, n.gatewayProblems(addr)...)
	}
	return problems.Err()
}

// gatewayProblems says what is wrong with a gateway's place on the network.
func (n Network) gatewayProblems(addr netip.Addr) problem.List {
	subnet := n.Subnet.Masked()
	inside := "an address of " + subnet.String()
	wrong := problem.Problem{Key: KeyGateway, Value: addr.String(), Accepted: inside}
	switch {
	case addr == n.BridgeAddr.Unmap():
		wrong.Reason = "this is the bridge's own address, and a gateway on the host is " + later
		wrong.Accepted = "another address of " + subnet.String() + ", or another --gateway for the bridge"
	case !subnet.Contains(addr):
		wrong.Reason = "not in the subnet; gateways on the host or outside the subnet are " + later
	case subnet.Bits() > maxBits: // such a subnet has neither, and is refused as a whole
		return nil
	case addr == subnet.Addr():
		wrong.Reason = "this is the subnet's network address"
	case addr == netipx.PrefixLastIP(subnet):
		wrong.Reason = "this is the subnet's broadcast address"
	default:
		return nil
	}
	return problem.List{wrong}
}

func subnetProblem(subnet netip.Prefix, reason string) problem.Problem {
	p := problem.Problem{Key: flagSubnet, Reason: reason, Accepted: "an IPv4 prefix of /30 or shorter, such as 172.20.0.0/16"}
	if subnet.IsValid() {
		p.Value = subnet.String()
	}
	return p
}
