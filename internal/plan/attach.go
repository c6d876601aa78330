package plan

import (
	"github.com/mcpnet/mcpnet/internal/topology"
)

// AddEndpoint gives the steps that make an endpoint, from what is observed of its own wire alone: an attach looks at
// nothing else, so it costs the same beside any number of endpoints.
func AddEndpoint(n topology.Network, e Endpoint, o Observed) []Step {
	return diffEndpoints(Network{n, []Endpoint{e}}, o)
}
