package topology

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// RoleFor decides what an endpoint is, from what it says of itself and from whether its address can only have been
// asked for. Holding a gateway's address makes nobody a gateway.
func (n Network) RoleFor(a netip.Addr, said policy.Role) (role Role, reason string, err error) {
	switch {
	case said == policy.RoleGateway && !n.Policy.IsGateway(a):
		return "", "", fmt.Errorf("mcpnet.role=gateway: address %s is none of the network's gateways (%s): ask for one of them with --ip, or drop the option",
			a, n.gatewayList())
	case said == policy.RoleServer && n.Policy.IsGateway(a):
		return "", "", fmt.Errorf("mcpnet.role=server: address %s is a gateway's: choose another with --ip", a)
	case !n.Policy.IsGateway(a):
		return RoleServer, "", nil
	case said == policy.RoleGateway:
		return RoleGateway, "mcpnet.role=gateway", nil
	case n.AskedFor(a):
		return RoleGateway, fmt.Sprintf("address %s was asked for: it lies outside the range %s that the engine assigns from", a, n.IPRange), nil
	default:
		return RoleCandidate, fmt.Sprintf("address %s is a gateway's, and the engine may have assigned it by itself; waiting for the engine's record", a), nil
	}
}

func (n Network) gatewayList() string {
	var out []string
	for _, a := range n.Policy.GatewayAddrs() {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
