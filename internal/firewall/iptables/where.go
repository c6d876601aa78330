package iptables

import (
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
	_ = f.ns.Do(func() error {
		for command, protocol := range map[string]goiptables.Protocol{"iptables": goiptables.ProtocolIPv4, "ip6tables": goiptables.ProtocolIPv6} {
			if p, ok := position(f.tables[protocol]); ok {
				out[command] = p
			}
		}
		return nil
	})
	return out
}

func position(t *goiptables.IPTables) (Position, bool) {
	for _, parent := range []string{"DOCKER-USER", "FORWARD"} {
		rules, err := t.List("filter", parent)
		if err != nil {
			continue // no such chain
		}
		// The first line declares the chain or its policy.
		if i := slices.Index(rules, "-A "+parent+" -j "+forwardChain); i > 0 {
			return Position{parent, i}, true
		}
	}
	return Position{}, false
}
