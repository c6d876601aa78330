package iptables

import (
	"context"
	"slices"

	goiptables "github.com/coreos/go-iptables/iptables"
)

// Position is a rule's place: the chain it stands in, counted from 1.
type Position struct {
	Chain string `json:"chain"`
	Rule  int    `json:"rule"`
}

// Where tells where the jump to DOCKER-MCP stands, by command ("iptables", "ip6tables"). A command without one is missing.
func (f *Firewall) Where() map[string]Position {
	out := map[string]Position{}
	for command, protocol := range map[string]goiptables.Protocol{"iptables": goiptables.ProtocolIPv4, "ip6tables": goiptables.ProtocolIPv6} {
		s, err := f.save(context.Background(), protocol)
		if p, ok := position(s); ok && err == nil {
			out[command] = p
		}
	}
	return out
}

func position(s snapshot) (Position, bool) {
	for _, parent := range []string{"DOCKER-USER", "FORWARD"} {
		if i := slices.Index(s["filter"][parent], "-j "+forwardChain); i >= 0 {
			return Position{parent, i + 1}, true
		}
	}
	return Position{}, false
}
