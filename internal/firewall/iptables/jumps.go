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
	table, chain, target string
	match                string
	rules                int  // the fewest that the target has
	first                bool // the chain's other rules belong to somebody else, or follow
}

// rule is as iptables-save prints it.
func (j jump) rule() string {
	if j.target == "" {
		return j.match + " -j DROP"
	}
	return "-j " + j.target
}

// jumps are all jumps of one family that lead to networks' chains, outermost last.
func jumps(protocol goiptables.Protocol, s snapshot, networks []Network) (out []jump) {
	for _, h := range hooks {
		p := places[h]
		if protocol == goiptables.ProtocolIPv6 && p.table == "nat" {
			continue
		}
		inner := networkJumps(protocol, p, h, networks)
		if p.table == "filter" {
			out = append(out, jump{table: p.table, chain: p.dispatch, match: "-i " + topology.WirePrefix + "+", first: true})
		}
		out = append(out, inner...)
		if len(inner) > 0 || p.table == "filter" {
			out = append(out, jump{table: p.table, chain: parent(h, s), target: p.dispatch, first: true})
		}
	}
	return out
}

func networkJumps(protocol goiptables.Protocol, p place, h firewall.Hook, networks []Network) (out []jump) {
	for _, n := range networks {
		text := n.text(protocol)
		for _, c := range n.Host.Chains {
			if c.Hook == h {
				target := p.prefix + n.Bridge
				out = append(out, jump{table: p.table, chain: p.dispatch, target: target, rules: strings.Count(text, "-A "+target+" ")})
			}
		}
	}
	return out
}

// parent is the chain of the kernel or of the engine that leads to ours. DOCKER-USER is the engine's place for it.
func parent(h firewall.Hook, s snapshot) string {
	switch h {
	case firewall.HookInput:
		return "INPUT"
	case firewall.HookPostrouting:
		return "POSTROUTING"
	}
	if s.hasChain("filter", "DOCKER-USER") {
		return "DOCKER-USER"
	}
	return "FORWARD"
}

// jumpsText adds the jumps that are missing, and the chains that they stand in.
func jumpsText(s snapshot, wanted []jump) string {
	return transactions(func(table string) (lines []string) {
		made := map[string]bool{}
		for _, j := range wanted {
			if j.table != table || s.has(table, j.chain, j.rule()) {
				continue
			}
			// A chain that is declared anew loses its rules; -N fails instead if somebody else has made it meanwhile.
			if !kernelChain(j.chain) && !s.hasChain(table, j.chain) && !made[j.chain] {
				lines, made[j.chain] = append(lines, "-N "+j.chain), true
			}
			if j.first {
				lines = append(lines, fmt.Sprintf("-I %s 1 %s", j.chain, j.rule()))
			} else {
				lines = append(lines, fmt.Sprintf("-A %s %s", j.chain, j.rule()))
			}
		}
		return lines
	})
}

// kernelChain tells a chain that is there with its table, even where iptables-save does not list the table yet.
func kernelChain(chain string) bool {
	switch chain {
	case "INPUT", "FORWARD", "POSTROUTING":
		return true
	}
	return false
}

// removeText removes what there is of a network's chains and the jumps to them and, where no network is left behind a
// dispatching chain, that chain and the jumps to it. iptables-nft-restore takes chains away only after all jumps.
func removeText(s snapshot, bridge string) string {
	return transactions(func(table string) []string {
		var rules, chains []string
		for _, h := range hooks {
			p := places[h]
			if p.table != table {
				continue
			}
			own := p.prefix + bridge
			if s.hasChain(table, own) {
				rules, chains = append(rules, "-F "+own), append(chains, "-X "+own)
			}
			if unused(s, p, own) {
				rules, chains = append(rules, deleteDispatch(s, p)...), append(chains, "-X "+p.dispatch)
			} else {
				rules = append(rules, deleteRules(s, table, p.dispatch, "-j "+own)...)
			}
		}
		return append(rules, chains...)
	})
}

// unused tells whether a dispatching chain leads to no network but one.
func unused(s snapshot, p place, own string) bool {
	for _, rule := range s[p.table][p.dispatch] {
		if strings.Contains(rule, "-j "+p.prefix) && rule != "-j "+own {
			return false
		}
	}
	return s.hasChain(p.table, p.dispatch)
}

// deleteDispatch names each rule rather than to flush: what somebody has added since the snapshot stays, and the chain's
// deletion fails.
func deleteDispatch(s snapshot, p place) (lines []string) {
	for _, parent := range []string{"FORWARD", "DOCKER-USER", "INPUT", "POSTROUTING"} {
		lines = append(lines, deleteRules(s, p.table, parent, "-j "+p.dispatch)...)
	}
	for _, rule := range s[p.table][p.dispatch] {
		lines = append(lines, "-D "+p.dispatch+" "+rule)
	}
	return lines
}

// deleteRules deletes a rule as often as it is there.
func deleteRules(s snapshot, table, chain, rule string) (lines []string) {
	for _, r := range s[table][chain] {
		if r == rule {
			lines = append(lines, "-D "+chain+" "+rule)
		}
	}
	return lines
}
