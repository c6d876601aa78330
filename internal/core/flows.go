package core

import (
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/space"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// flowsInterval is how often it is read which connections the rules of a network know.
	flowsInterval = time.Second
	// flowsShare bounds the time that reading takes, where there are very many.
	flowsShare = 20
)

// rememberFlows reads which connections the rules of a network know, for a repair after a flush. It returns when to
// read them again. Where the sets are gone, what was read before is what the repair needs.
func (c *Core) rememberFlows(n topology.Network, where *space.Space) time.Duration {
	began := time.Now()
	flows, found, err := where.NFT.Flows()
	if err != nil {
		c.log.Debug("remember connections", "network", n.DisplayName(), "error", err)
	}
	if found && err == nil {
		c.mu.Lock()
		c.flows[n.ID] = flows
		c.mu.Unlock()
	}
	return max(flowsInterval, flowsShare*time.Since(began))
}

// withFlows are the rules with what is remembered of a network's connections: loaded in one transaction, so that no
// segment is refused in between.
func (c *Core) withFlows(n topology.Network, rules firewall.Ruleset) firewall.Ruleset {
	c.mu.Lock()
	defer c.mu.Unlock()
	return rules.WithElements(c.flows[n.ID]).WithElements(nameElements(c.names[n.ID]))
}

func (c *Core) forgetFlows(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flows, id)
	delete(c.names, id)
}
