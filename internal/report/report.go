// Package report holds what mcpnet tells people and programs about its networks: the public JSON of `mcpnet status`
// and `mcpnet plan`. Fields are added, never changed, within a version; Schema names it. The package is pure.
package report

import (
	"cmp"
	"strings"

	"github.com/mcpnet/mcpnet/internal/printed"
)

// Versions of the documents.
const (
	StatusSchema = "mcpnet.status/1"
	PlanSchema   = "mcpnet.plan/1"
)

// Status is what is in force on a host, read from the kernel.
type Status struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
	// Owners are the surfaces that the networks were made through.
	Owners   []string  `json:"owners"`
	Layers   Layers    `json:"layers"`
	Findings []Finding `json:"findings,omitempty"`
	Networks []Network `json:"networks"`
}

// Layers tells which layers hold.
type Layers struct {
	// Namespaces and NFTables are false when a network's namespace, or rules in one, are missing.
	Namespaces bool `json:"namespaces"`
	NFTables   bool `json:"nftables"`
	// Uplinks is false when a gateway's way beyond its network is not whole. It holds no promise.
	Uplinks bool `json:"uplinks"`
	// Prefix says that one chain stands for all wires, which nft commands before 1.1.6 cannot list.
	Prefix bool `json:"prefix,omitempty"`
	// IPTables is the variant in use, "nft" or "legacy", or "" where the host has none or none is needed.
	IPTables string `json:"iptables"`
	// DockerMCP tells where the jump to DOCKER-MCP stands in iptables. In nftables the chain is gone to from the ingress
	// hook of every wire.
	DockerMCP *Position `json:"dockerMcp,omitempty"`
	// Firewalld says that the host's firewalld runs: uplinks need to be in a zone of it. It is false where nobody asked,
	// because nothing goes beyond a network.
	Firewalld bool `json:"firewalld"`
}

// Position is a rule's place: the chain it stands in, counted from 1.
type Position struct {
	Chain string `json:"chain"`
	Rule  int    `json:"rule"`
}

// Network is one network.
type Network struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Owner     string `json:"owner"`
	Namespace string `json:"namespace"` // as `ip netns` shows it
	Bridge    string `json:"bridge"`
	BridgeUp  bool   `json:"bridgeUp"`
	// Uplink is the link on the host, or "" where nothing goes beyond the network.
	Uplink   string `json:"uplink,omitempty"`
	UplinkUp bool   `json:"uplinkUp"`
	// Zone is firewalld's zone of the uplink, "" where it is in none or no firewalld runs.
	Zone      string            `json:"zone,omitempty"`
	Subnet    string            `json:"subnet"`
	Policy    map[string]string `json:"policy"`
	Drift     []string          `json:"drift,omitempty"` // steps that would be taken now
	Endpoints []Endpoint        `json:"endpoints"`
	// Denied gives the counters of rules that refused something, by what they are for.
	Denied map[string]Counter `json:"denied"`
}

// Endpoint is one endpoint.
type Endpoint struct {
	ID        string `json:"id"`
	Container string `json:"container,omitempty"`
	Name      string `json:"name,omitempty"` // by which a user knows the container, where Container is its id
	Role      string `json:"role"`
	Reason    string `json:"reason,omitempty"`
	Address   string `json:"address"`
	MAC       string `json:"mac"`
	Wire      string `json:"wire"`
	// Allow is the part of mcpnet.allow that the endpoint may reach; empty: all of it.
	Allow string `json:"allow,omitempty"`
	// Ports are those that were to be published, and Published those that mcpnet publishes.
	Ports     []string `json:"ports,omitempty"`
	Published []string `json:"published,omitempty"`
	State     State    `json:"state"`
	// Admission tells whether the container keeps to mcpnet.caps and has no other way out; empty where nobody looks.
	Admission Admission `json:"admission,omitzero"`
	// Quarantined endpoints pass nothing until their container conforms.
	Quarantined bool `json:"quarantined,omitempty"`
	// Sent and Received count what went over the wire since it was made, seen from the container, refused frames included.
	Sent     Counter `json:"sent"`
	Received Counter `json:"received"`
}

// State is how far an endpoint is attached.
type State string

// The states.
const (
	StateUp        State = "up"
	StateDown      State = "down"      // not joined
	StateUnguarded State = "unguarded" // its rules are missing: the wire is dead until they are back
	StateGone      State = "gone"      // its wire is missing
	StateEnded     State = "ended"     // its container has ended without a word; what is left of it is collected later
)

// Admission is what is known of an endpoint's container.
type Admission struct {
	State  string `json:"state"`            // "conforms", "violates", or "" while there is no evidence
	By     string `json:"by,omitempty"`     // the evidence
	Reason string `json:"reason,omitempty"` // what is against it
	WayOut bool   `json:"wayOut,omitempty"` // what is against it is a way past its network
}

// Counter is what a rule or a link has met.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Plan is what would be changed now.
type Plan struct {
	Schema string `json:"schema"`
	Steps  []Step `json:"steps"`
}

// Step is one change, in one network namespace.
type Step struct {
	Network   string `json:"network,omitempty"`
	Namespace string `json:"namespace"`
	Action    string `json:"action"`
}

// shortID is how many digits of an id people are shown.
const shortID = 12

// DisplayName is the name that a user knows the network by, or a short id where it is not known yet.
func (n Network) DisplayName() string {
	return printed.Name(cmp.Or(n.Name, n.ID[:min(shortID, len(n.ID))]))
}

// DisplayName is the name of the endpoint's container, or a short id where it is not known.
func (e Endpoint) DisplayName() string {
	switch {
	case e.Name != "":
		return printed.Name(e.Name)
	case e.Container == "":
		return "endpoint " + printed.Name(e.ID[:min(shortID, len(e.ID))])
	case isID(e.Container):
		return e.Container[:shortID]
	}
	return printed.Name(e.Container)
}

// isID tells an engine's id from a name that a person chose.
func isID(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }
