package iptables

import (
	"context"
	"slices"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Position is a rule's place: the chain it stands in, counted from 1.
type Position struct {
	Chain string `json:"chain"`
	Rule  int    `json:"rule"`
}

// Where tells where the jump to DOCKER-MCP stands; ok is false where there is none.
func (f *Firewall) Where() (p Position, ok bool) {
	s, err := f.save(context.Background(), goiptables.ProtocolIPv4)
	if err != nil {
		return p, false
	}
	parent := places[firewall.HookForward].parent
	i := slices.Index(s["filter"][parent], "-j "+forwardChain)
	return Position{parent, i + 1}, i >= 0
}
