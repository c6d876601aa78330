package iptables

import (
	"fmt"
	"strings"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// jump is a rule in a chain that is not a network's own: a jump to a chain, or what drops everything of wires.
type jump struct {
	protocol             goiptables.Protocol
	table, chain, target string
	match                []string
	rules                int  // the fewest that the target has
	first                bool // the chain's other rules belong to somebody else, or follow
}

// jumps are all jumps that lead to networks' chains, outermost last: a chain is complete before anything leads to it.
func (f *Firewall) jumps(networks []Network) []jump {
	var out []jump
	for protocol := range f.tables {
		for _, h := range hooks {
			p := places[h]
			if protocol == goiptables.ProtocolIPv6 && p.table == "nat" {
				continue
			}
			inner := networkJumps(protocol, p, h, networks)
			if p.table == "filter" {
				out = append(out, jump{protocol: protocol, table: p.table, chain: p.dispatch, match: []string{"-i", topology.WirePrefix + "+"}, first: true})
			}
			out = append(out, inner...)
			if len(inner) > 0 || p.table == "filter" {
				out = append(out, jump{protocol: protocol, table: p.table, chain: f.parent(h, protocol), target: p.dispatch, first: true})
			}
		}
	}
	return out
}

func networkJumps(protocol goiptables.Protocol, p place, h firewall.Hook, networks []Network) (out []jump) {
	for _, n := range networks {
		text := RestoreText(n.Bridge, n.Host)
		if protocol == goiptables.ProtocolIPv6 {
			text = RestoreText6(n.Bridge)
		}
		for _, c := range n.Host.Chains {
			if c.Hook == h {
				target := p.prefix + n.Bridge
				out = append(out, jump{protocol: protocol, table: p.table, chain: p.dispatch, target: target, rules: strings.Count(text, "-A "+target+" ")})
			}
		}
	}
	return out
}

// parent is the chain of the kernel or of the engine that leads to ours. DOCKER-USER is the engine's place for it.
func (f *Firewall) parent(h firewall.Hook, protocol goiptables.Protocol) string {
	switch h {
	case firewall.HookInput:
		return "INPUT"
	case firewall.HookPostrouting:
		return "POSTROUTING"
	}
	if ok, err := f.tables[protocol].ChainExists("filter", "DOCKER-USER"); err == nil && ok {
		return "DOCKER-USER"
	}
	return "FORWARD"
}

func (j jump) rule() []string {
	if j.target == "" {
		return append(append([]string(nil), j.match...), "-j", "DROP")
	}
	return append(append([]string(nil), j.match...), "-j", j.target)
}

func (j jump) ensure(t *goiptables.IPTables) error {
	for _, chain := range []string{j.chain, j.target} {
		if chain == "" {
			continue
		}
		ok, err := t.ChainExists(j.table, chain)
		if err == nil && !ok {
			err = t.NewChain(j.table, chain)
		}
		if err != nil {
			return fmt.Errorf("%s: chain %s: %w", j.table, chain, err)
		}
	}
	var err error
	if j.first {
		err = t.InsertUnique(j.table, j.chain, 1, j.rule()...)
	} else {
		err = t.AppendUnique(j.table, j.chain, j.rule()...)
	}
	if err != nil {
		return fmt.Errorf("%s: chain %s: %w", j.table, j.chain, err)
	}
	return nil
}
