package iptables

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// The chains that the network guide names. Each network adds one chain of its own behind each of them.
const (
	forwardChain    = "DOCKER-MCP"
	masqueradeChain = "MCP-MASQUERADE"
)

// place is where a hook's rules stand: the table, the kernel's chain, the dispatching chain, and the beginning of a
// network's own.
type place struct{ table, parent, dispatch, prefix string }

var places = map[firewall.Hook]place{
	firewall.HookForward:     {"filter", "FORWARD", forwardChain, "MCP-FWD-"},
	firewall.HookPostrouting: {"nat", "POSTROUTING", masqueradeChain, "MCP-NAT-"},
}

// hooks in the order they are rendered.
var hooks = []firewall.Hook{firewall.HookForward, firewall.HookPostrouting}

// legacyPlaces are those of the time before networks had namespaces.
var legacyPlaces = map[firewall.Hook]place{
	firewall.HookForward:     places[firewall.HookForward],
	firewall.HookInput:       {"filter", "INPUT", "MCP-INPUT", "MCP-IN-"},
	firewall.HookPostrouting: places[firewall.HookPostrouting],
}

// multiportMost is the most ports that one multiport match holds (XT_MULTI_PORTS, linux/netfilter/xt_multiport.h).
const multiportMost = 15

// isolation is Docker's chain that drops what goes to another of its bridges, until Docker 28. Packets from an uplink
// do not pass the chain that leads there, which asks for a bridge of Docker's own.
const isolation = "DOCKER-ISOLATION-STAGE-2"

// text is the network's own chains as input of iptables-restore --noflush: each table in one transaction.
func (n Network) text(s snapshot) string {
	return transactions(func(table string) []string {
		var chains, rules []string
		for _, c := range n.Host.Chains {
			p, ok := places[c.Hook]
			if !ok || p.table != table {
				continue
			}
			chain := p.prefix + n.Uplink
			chains = append(chains, fmt.Sprintf(":%s - [0:0]", chain))
			if c.Hook == firewall.HookForward && s.hasChain(table, isolation) {
				rules = append(rules, fmt.Sprintf("-A %s -i %s ! -o %s -j %s", chain, n.Uplink, n.Uplink, isolation))
			}
			for _, rule := range c.Rules {
				rules = append(rules, ruleLines(chain, rule)...)
			}
		}
		return append(chains, rules...)
	})
}

// transactions is the lines of each table as input of iptables-restore, "" where there are none.
func transactions(lines func(table string) []string) string {
	var b strings.Builder
	for _, table := range []string{"filter", "nat"} {
		if l := lines(table); len(l) > 0 {
			fmt.Fprintf(&b, "*%s\n%s\nCOMMIT\n", table, strings.Join(l, "\n"))
		}
	}
	return b.String()
}

func ruleLines(chain string, r firewall.Rule) (lines []string) {
	for _, arguments := range expand(r.Match) {
		lines = append(lines, fmt.Sprintf("-A %s %s-m comment --comment %q %s", chain, arguments, r.ID, target(r.Verdict)))
	}
	return lines
}

// expand turns matches into arguments; a list of ports that is too long for one rule makes several.
func expand(matches []firewall.Match) []string {
	out := []string{""}
	for _, m := range matches {
		var next []string
		for _, argument := range arguments(m) {
			for _, before := range out {
				next = append(next, before+argument+" ")
			}
		}
		out = next
	}
	return out
}

func arguments(m firewall.Match) []string {
	switch m := m.(type) {
	case firewall.Is:
		return isArguments(m)
	case firewall.IsNot:
		return []string{"! " + flag(m.Field) + " " + m.Value}
	}
	panic(fmt.Sprintf("iptables: match %T has no argument", m))
}

func isArguments(m firewall.Is) []string {
	switch m.Field {
	case firewall.TCPDst, firewall.UDPDst:
		var out []string
		for ports := range slices.Chunk(m.Values, multiportMost) {
			out = append(out, "-m multiport --dports "+strings.Join(ports, ","))
		}
		return out
	case firewall.CTState:
		return []string{"-m conntrack --ctstate " + strings.ToUpper(strings.Join(m.Values, ","))}
	case firewall.CTStatus:
		return []string{"-m conntrack --ctstate " + strings.ToUpper(m.Values[0])}
	case firewall.InIface, firewall.OutIface:
		return []string{flag(m.Field) + " " + strings.ReplaceAll(m.Values[0], "*", "+")}
	}
	return []string{flag(m.Field) + " " + strings.Join(m.Values, ",")}
}

func flag(f firewall.Field) string {
	switch f {
	case firewall.InIface:
		return "-i"
	case firewall.OutIface:
		return "-o"
	case firewall.IPSrc:
		return "-s"
	case firewall.IPDst:
		return "-d"
	case firewall.IPProto:
		return "-p"
	}
	panic(fmt.Sprintf("iptables: field %q has no flag", f))
}

func target(v firewall.Verdict) string {
	switch v {
	case firewall.Accept:
		return "-j ACCEPT"
	case firewall.Drop:
		return "-j DROP"
	case firewall.Reject:
		return "-j REJECT --reject-with icmp-admin-prohibited"
	case firewall.ResetTCP:
		return "-j REJECT --reject-with tcp-reset"
	case firewall.Masquerade:
		return "-j MASQUERADE"
	}
	panic(fmt.Sprintf("iptables: verdict %v has no target", v))
}
