package engine

import (
	"context"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Status is what is in force, read from the kernel.
type Status struct {
	Version  string          `json:"version,omitempty"`
	Owner    topology.Owner  `json:"owner"`
	Layers   Layers          `json:"layers"`
	Problems []string        `json:"problems,omitempty"`
	Networks []NetworkStatus `json:"networks"`
}

// Layers tells which layers hold.
type Layers struct {
	// NFTables is false when a network's rules are missing; they are put back at once.
	NFTables bool `json:"nftables"`
	// Reset tells whether a closed port of a gateway answers at once.
	Reset bool `json:"tcpReset"`
	// IPTables is the variant in use, "nft" or "legacy", or "" where the host has none.
	IPTables string `json:"iptables"`
	// DockerMCP tells where the jump to DOCKER-MCP stands in "iptables" and "ip6tables". In nftables the chain is gone to
	// from the ingress hook of every wire, before all of them.
	DockerMCP map[string]iptables.Position `json:"dockerMcp"`
}

// NetworkStatus is one network.
type NetworkStatus struct {
	ID        string            `json:"id"`
	Name      string            `json:"name,omitempty"`
	Owner     topology.Owner    `json:"owner,omitempty"`
	Bridge    string            `json:"bridge"`
	BridgeUp  bool              `json:"bridgeUp"`
	Subnet    string            `json:"subnet"`
	Policy    map[string]string `json:"policy"`
	IPTables  bool              `json:"iptables"`
	Drift     []string          `json:"drift,omitempty"` // steps that would be taken now
	Endpoints []EndpointStatus  `json:"endpoints"`
	// Denied gives the counters of rules that refused something, by what they are for.
	Denied map[string]nft.Counter `json:"denied"`
}

// EndpointStatus is one endpoint.
type EndpointStatus struct {
	ID        string        `json:"id"`
	Container string        `json:"container,omitempty"`
	Role      topology.Role `json:"role"`
	Reason    string        `json:"reason,omitempty"`
	Address   string        `json:"address"`
	MAC       string        `json:"mac"`
	Wire      string        `json:"wire"`
	// State is "up", "down" (not joined), "unguarded" (its chain is missing: the wire is dead until it is back), or
	// "gone" (its wire is missing), or, where the surface has no process that would have been told, "ended" (the container
	// and its wire are gone; what is left of it is collected later).
	State string `json:"state"`
	// Admission tells whether the container keeps to mcpnet.caps and has no other way out; empty where nobody looks.
	// Quarantined endpoints pass nothing until it does.
	Admission   topology.Admission `json:"admission,omitzero"`
	Quarantined bool               `json:"quarantined,omitempty"`
	// Sent and Received count what went over the wire since it was made, seen from the container, refused frames
	// included.
	Sent     nft.Counter `json:"sent"`
	Received nft.Counter `json:"received"`
}

// Status reads what is in force.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	s := Status{Owner: e.owner, Networks: []NetworkStatus{}}
	err := e.view(ctx, func() error {
		state, err := e.nft.Observe()
		if err != nil {
			return err
		}
		observed, err := e.observeWith(state)
		if err != nil {
			return err
		}
		observed.IPTables = e.observeIPTables()
		s.Problems = append(s.Problems, e.problems...)
		s.Layers = Layers{NFTables: true, Reset: e.features.Reset}
		if e.iptables != nil {
			s.Layers.IPTables, s.Layers.DockerMCP = e.iptables.Variant(), e.iptables.Where()
		}
		for _, n := range e.desired().Networks {
			status := e.networkStatus(n, observed, state)
			for _, step := range status.Drift {
				s.Layers.NFTables = s.Layers.NFTables && !strings.Contains(step, "nftables")
			}
			s.Networks = append(s.Networks, status)
		}
		return nil
	})
	return s, err
}

func (e *Engine) networkStatus(n plan.Network, o plan.Observed, state nft.State) NetworkStatus {
	s := NetworkStatus{ID: n.ID, Name: n.Name, Owner: n.Owner, Bridge: n.Bridge, BridgeUp: o.Links[n.Bridge].Up, Subnet: n.Subnet.String(), Policy: n.Policy.Options(),
		IPTables: o.IPTables[n.Bridge], Endpoints: []EndpointStatus{}, Denied: map[string]nft.Counter{}}
	for _, step := range plan.Diff(plan.Desired{Owner: e.owner, Features: e.features, Networks: []plan.Network{n}}, o) {
		s.Drift = append(s.Drift, step.String())
	}
	for _, p := range n.Endpoints {
		status := endpointStatus(p, o)
		if n.Examined(p.Endpoint) {
			status.Admission, status.Quarantined = p.Admission, n.Held(p.Endpoint)
		}
		if e.shared && status.State == "gone" {
			status.State = "ended"
		}
		s.Endpoints = append(s.Endpoints, status)
	}
	for id, counter := range state.Counters {
		if what, ok := strings.CutPrefix(id, n.Bridge+"/"); ok {
			s.Denied[what] = counter
		}
	}
	return s
}

func endpointStatus(p plan.Endpoint, o plan.Observed) EndpointStatus {
	s := EndpointStatus{ID: p.ID, Container: p.Container, Role: p.Role, Reason: p.Reason, Address: p.IP.String(), MAC: p.MAC.String(), Wire: p.Wire(), State: "down"}
	wire, exists := o.Links[p.Wire()]
	s.Sent, s.Received = nft.Counter(wire.In), nft.Counter(wire.Out)
	_, guarded := o.Chains[firewall.NetDev][firewall.ChainName(p.Endpoint)]
	switch {
	case !exists:
		s.State = "gone"
	case !guarded:
		s.State = "unguarded"
	case wire.Up:
		s.State = "up"
	}
	return s
}
