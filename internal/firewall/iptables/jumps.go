package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// jump is a rule that leads to a chain of ours, in a chain that is not a network's own.
type jump struct {
	table, chain, target string
	rules                int  // the fewest that the target has
	last                 bool // it stands behind every other rule of its chain
}

// rule is as iptables-save prints it.
func (j jump) rule() string { return "-j " + j.target }

// holds reports whether the jump is where it belongs. Other programs append rules of their own later.
func (j jump) holds(s snapshot) bool {
	rules := s[j.table][j.chain]
	at := slices.Index(rules, j.rule())
	return at >= 0 && (!j.last || at == len(rules)-1)
}

// jumps are those that lead to a network's chains, outermost last. The parents are the kernel's own chains, and the
// jump is the last of their rules: whatever another rule decides is decided.
func jumps(s snapshot, n Network) (out []jump) {
	for _, h := range hooks {
		p := places[h]
		for _, c := range n.Host.Chains {
			if c.Hook == h {
				target := p.prefix + n.Uplink
				rules := strings.Count(n.text(s), "-A "+target+" ")
				out = append(out, jump{table: p.table, chain: p.dispatch, target: target, rules: rules},
					jump{table: p.table, chain: p.parent, target: p.dispatch, last: h == firewall.HookForward})
			}
		}
	}
	return out
}

// dockerUser is the chain of Docker's for the administrator's rules, in which the jump stood before networks had
// namespaces.
const dockerUser = "DOCKER-USER"

// jumpsText adds the jumps that are missing, and the chains that they stand in.
func jumpsText(s snapshot, wanted []jump) string {
	return transactions(func(table string) (lines []string) {
		made := map[string]bool{}
		if table == "filter" {
			lines = deleteRules(s, table, dockerUser, "-j "+forwardChain)
		}
		for _, j := range wanted {
			if j.table != table || j.holds(s) {
				continue
			}
			lines = append(lines, deleteRules(s, table, j.chain, j.rule())...)
			// A chain that is declared anew loses its rules; -N fails instead if somebody else has made it meanwhile.
			if !kernelChain(j.chain) && !s.hasChain(table, j.chain) && !made[j.chain] {
				lines, made[j.chain] = append(lines, "-N "+j.chain), true
			}
			lines = append(lines, fmt.Sprintf("-A %s %s", j.chain, j.rule()))
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
func removeText(s snapshot, name string) string {
	return removal(s, name, hooks, places)
}

// removeLegacyText is removeText for the chains that stood before networks had namespaces.
func removeLegacyText(s snapshot, bridge string) string {
	return removal(s, bridge, []firewall.Hook{firewall.HookForward, firewall.HookInput, firewall.HookPostrouting}, legacyPlaces)
}

func removal(s snapshot, name string, hooks []firewall.Hook, places map[firewall.Hook]place) string {
	return transactions(func(table string) []string {
		var rules, chains []string
		for _, h := range hooks {
			p := places[h]
			if p.table != table {
				continue
			}
			own := p.prefix + name
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

// deleteDispatch names each rule rather than to flush: what somebody has added since the snapshot stays, and the
// chain's deletion fails.
func deleteDispatch(s snapshot, p place) (lines []string) {
	for _, parent := range []string{"FORWARD", dockerUser, "INPUT", "POSTROUTING"} {
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
