package request

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// EndpointWords is what a surface said of an endpoint. A zero field was not said.
type EndpointWords struct {
	Surface     surface.Surface
	ID          string
	Container   string
	Name        string                // of the container, where Container is its id
	Interface   string                // its name in the container
	Options     map[string]string     // by the keys of package policy
	Requested   []netip.Addr          // addresses that were asked for, where a surface still has to get one
	Addrs       []netip.Addr          // what the endpoint has: exactly one address, of IPv4
	Asked       bool                  // the address was asked for, and not merely assigned
	How         string                // what shows that; empty where the request itself says so
	MAC         string                // the hardware address that was asked for
	ExistingMAC topology.HardwareAddr // the hardware address of an interface that is there already
	Ports       []string              // published ports, as the surface writes them
	Problems    problem.List          // what was wrong already with how it was said, in the surface's words
}

// Check names what is wrong as far as that can be told before the endpoint has an address.
func (w EndpointWords) Check() error {
	_, problems := w.said()
	return problems.Err()
}

// Wants are the addresses to get for the endpoint: those that were asked for, or for a gateway those of the policy.
// Without any of them any address will do.
func (w EndpointWords) Wants(p policy.Policy) []netip.Addr {
	if said, _ := w.said(); said.Role == policy.RoleGateway && len(w.Requested) == 0 {
		return p.GatewayAddrs()
	}
	return w.Requested
}

// Endpoint makes the endpoint. An error is a problem.List that names everything that is wrong.
func (w EndpointWords) Endpoint(n topology.Network) (topology.Endpoint, error) {
	said, problems := w.said()
	sayable := len(problems) == 0
	problems = append(problems, w.address()...)
	if len(w.Addrs) != 1 || !w.Addrs[0].Is4() {
		return topology.Endpoint{}, problems.Err()
	}
	p := topology.Endpoint{ID: w.ID, NetworkID: n.ID, IP: w.Addrs[0], Container: w.Container, Name: w.Name, Interface: w.Interface,
		Ports: w.Ports}
	var wrong problem.List
	if sayable {
		p.Role, p.Reason, wrong = w.role(n, p.IP, said.Role)
		p.Allow = said.Allow
		problems = slices.Concat(problems, wrong, narrowed(n, p))
	}
	p.MAC, wrong = w.mac(n, p)
	problems = slices.Concat(problems, wrong, w.ports(p.Role))
	if err := problems.Err(); err != nil {
		return topology.Endpoint{}, err
	}
	return p, nil
}

// said reads the options. What was wrong before comes with what is wrong with them.
func (w EndpointWords) said() (policy.Endpoint, problem.List) {
	e, err := policy.ParseEndpoint(w.Options)
	wrong, _ := problem.Of(err) // ParseEndpoint returns nothing else
	return e, slices.Concat(w.Problems, wrong)
}

// narrowed names what an endpoint asks for beyond the network's list: it can narrow the list, and never widens it.
func narrowed(n topology.Network, p topology.Endpoint) (problems problem.List) {
	if p.Allow == nil {
		return nil
	}
	if p.Role != topology.RoleServer {
		return problem.List{{Key: policy.KeyAllow, Value: p.Allow.String(),
			Reason: "is for servers: what a gateway may open is " + policy.KeyEgress + " of the network"}}
	}
	for _, t := range p.Allow.Beyond(n.Policy.Allow) {
		problems = append(problems, problem.Problem{Key: policy.KeyAllow, Value: t.String(),
			Reason:   "the network's list does not hold it, and an endpoint only narrows that",
			Accepted: "a part of " + policy.KeyAllow + "=" + n.Policy.Allow.String() + ", or off"})
	}
	return problems
}

func (w EndpointWords) address() problem.List {
	key := w.Surface.Words.Address
	switch {
	case has(w.Problems, key):
		return nil
	case len(w.Addrs) == 0:
		return problem.List{{Key: key, Reason: w.Surface.Words.Assigner + " gave the endpoint no IPv4 address"}}
	case len(w.Addrs) > 1 || !w.Addrs[0].Is4():
		return problem.List{{Key: key, Value: join(w.Addrs), Reason: "an endpoint has exactly one address, of IPv4"}}
	}
	return nil
}

// role decides what the endpoint is, from what it says of itself and from whether its address was asked for. Holding a
// gateway's address makes nobody a gateway: engines hand a stopped gateway's address to the next container.
func (w EndpointWords) role(n topology.Network, a netip.Addr, said policy.Role) (topology.Role, string, problem.List) {
	gateway, words := n.Policy.IsGateway(a), w.Surface.Words
	wrong := problem.Problem{Key: policy.KeyRole, Value: string(said)}
	switch {
	case said == policy.RoleGateway && !gateway:
		wrong.Reason = fmt.Sprintf("address %s is none of the network's gateways (%s)", a,
			join(n.Policy.GatewayAddrs()))
		wrong.Accepted = fmt.Sprintf("one of them, asked for with %s, or no %s", words.Address, policy.KeyRole)
	case said == policy.RoleServer && gateway:
		wrong.Reason = fmt.Sprintf("address %s is a gateway's: choose another with %s", a, words.Address)
	case !gateway:
		return topology.RoleServer, "", nil
	case said == policy.RoleGateway:
		return topology.RoleGateway, policy.KeyRole + "=gateway", nil
	case w.Asked:
		return topology.RoleGateway, w.reason(a), nil
	case w.Surface.Later:
		return topology.RoleCandidate, fmt.Sprintf("address %s is a gateway's, and %s may have assigned it by itself; "+
			"waiting for the engine's record", a, words.Assigner), nil
	default:
		wrong = problem.Problem{Key: words.Range, Value: a.String(),
			Reason: fmt.Sprintf("the address is a gateway's, and nothing shows that it was asked for: "+
				"%s may have assigned it by itself", words.Assigner),
			Accepted: fmt.Sprintf("a range without gateways' addresses, or %s=gateway (%s)", policy.KeyRole,
				words.Role)}
	}
	return "", "", problem.List{wrong}
}

func (w EndpointWords) reason(a netip.Addr) string {
	text := fmt.Sprintf("address %s was asked for", a)
	if w.How != "" {
		text += ": " + w.How
	}
	return text
}

// outside notes that the address lies outside the range that the engine assigns from, so that somebody asked for it.
func (w *EndpointWords) outside(engineRange fmt.Stringer) {
	w.Asked = true
	w.How = fmt.Sprintf("it lies outside the range %s that %s assigns from", engineRange, w.Surface.Words.Assigner)
}

// mac takes the hardware address that was asked for, or of a server the one that its interface has. Any other
// follows from the network, a gateway's always: servers know it before it is there.
func (w EndpointWords) mac(n topology.Network, p topology.Endpoint) (topology.HardwareAddr, problem.List) {
	fixed := topology.MACFor(n.ID, p.IP)
	switch {
	case w.MAC == "" && w.ExistingMAC != nil && p.Role == topology.RoleServer:
		return w.ExistingMAC, nil
	case w.MAC == "":
		return fixed, nil
	}
	wrong := problem.Problem{Key: w.Surface.Words.MAC, Value: w.MAC}
	mac, err := net.ParseMAC(w.MAC)
	if err != nil || len(mac) != len(fixed) || mac[0]&1 != 0 {
		wrong.Reason = "not the address of one Ethernet interface"
		return nil, problem.List{wrong}
	}
	for _, a := range append(n.Policy.GatewayAddrs(), n.BridgeAddr) {
		if a != p.IP && mac.String() == topology.MACFor(n.ID, a).String() {
			wrong.Reason = "belongs to " + a.String()
			return nil, problem.List{wrong}
		}
	}
	if (p.Role == topology.RoleGateway || p.Role == topology.RoleCandidate) && mac.String() != fixed.String() {
		wrong.Reason = fmt.Sprintf("the address of a gateway is fixed (%s): drop the option", fixed)
		return nil, problem.List{wrong}
	}
	return topology.HardwareAddr(mac), nil
}

// ports refuses published ports on a server: it has nothing that could carry them. A gateway's may be meant for its
// other network, since engines send them to every endpoint.
func (w EndpointWords) ports(role topology.Role) problem.List {
	if len(w.Ports) == 0 || role != topology.RoleServer {
		return nil
	}
	key, list := w.Surface.Words.Ports, strings.Join(w.Ports, ",")
	return problem.List{{Key: key, Value: list,
		Reason:   fmt.Sprintf("published ports (%s) on a server: only the gateway reaches it", key),
		Accepted: fmt.Sprintf("no published ports here: publish the port on the gateway, and drop %s (%s)", key, list)}}
}

// Resolvers are the name servers that an endpoint may ask: a server none or its gateways, a gateway those that are
// named.
func Resolvers(n topology.Network, p topology.Endpoint, named []string) (allowed []string) {
	if p.Role == topology.RoleGateway {
		return named
	}
	if n.Policy.DNS == policy.DNSGateway {
		for _, g := range n.Policy.GatewayAddrs() {
			allowed = append(allowed, g.String())
		}
	}
	return allowed
}

func join(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
