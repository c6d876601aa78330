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
	inputChain      = "MCP-INPUT"
	masqueradeChain = "MCP-MASQUERADE"
)

// place is where a hook's rules stand: table, the dispatching chain, and the beginning of a network's own chain.
type place struct{ table, dispatch, prefix string }

var places = map[firewall.Hook]place{
	firewall.HookForward:     {"filter", forwardChain, "MCP-FWD-"},
	firewall.HookInput:       {"filter", inputChain, "MCP-IN-"},
	firewall.HookPostrouting: {"nat", masqueradeChain, "MCP-NAT-"},
}

// hooks in the order they are rendered.
var hooks = []firewall.Hook{firewall.HookForward, firewall.HookInput, firewall.HookPostrouting}

// multiportMost is the most ports that one multiport match holds (XT_MULTI_PORTS, linux/netfilter/xt_multiport.h).
const multiportMost = 15

// RestoreText is a network's own chains as input of iptables-restore --noflush: each table in one transaction.
func RestoreText(bridge string, r firewall.Ruleset) string {
	var b strings.Builder
	for _, table := range []string{"filter", "nat"} {
		var chains, rules strings.Builder
		for _, c := range r.Chains {
			p, ok := places[c.Hook]
			if !ok || p.table != table {
				continue
			}
			fmt.Fprintf(&chains, ":%s - [0:0]\n", p.prefix+bridge)
			for _, rule := range c.Rules {
				rules.WriteString(ruleText(p.prefix+bridge, rule))
			}
		}
		if chains.Len() > 0 {
			fmt.Fprintf(&b, "*%s\n%s%sCOMMIT\n", table, chains.String(), rules.String())
		}
	}
	return b.String()
}

// RestoreText6 denies a network's bridge every use of the host's IPv6.
func RestoreText6(bridge string) string {
	fwd, in := places[firewall.HookForward].prefix+bridge, places[firewall.HookInput].prefix+bridge
	return fmt.Sprintf("*filter\n:%s - [0:0]\n:%s - [0:0]\n-A %s -i %s -j DROP\n-A %s -o %s -j DROP\n-A %s -i %s -j DROP\nCOMMIT\n",
		fwd, in, fwd, bridge, fwd, bridge, in, bridge)
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

func ruleText(chain string, r firewall.Rule) string {
	var lines strings.Builder
	for _, arguments := range expand(r.Match) {
		fmt.Fprintf(&lines, "-A %s %s-m comment --comment %q %s\n", chain, arguments, r.ID, target(r.Verdict))
	}
	return lines.String()
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
