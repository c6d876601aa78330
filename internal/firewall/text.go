package firewall

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// LoadText is the nftables text that puts the rule set into the kernel in one transaction. Loading it again is safe at
// any time: chains are replaced, sets keep the elements that endpoints and rules added.
func (r Ruleset) LoadText() string {
	var b strings.Builder
	for _, f := range r.families() {
		fmt.Fprintf(&b, "add table %s %s\n", f, TableName)
	}
	for _, s := range r.Sets {
		b.WriteString(s.text())
	}
	for _, c := range r.Chains {
		if !c.IsPrefix() {
			fmt.Fprintf(&b, "add chain %s\nflush chain %s\n", c.declaration(), c.path())
		}
	}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			if !c.IsPrefix() {
				b.WriteString(rule.text(c))
			}
		}
	}
	return b.String()
}

// Text is a guard as nftables text, for plans and golden tests; it is applied over netlink.
func (g Guard) Text() string {
	var b strings.Builder
	if g.Chain.Name != "" {
		fmt.Fprintf(&b, "add chain %s\n", g.Chain.declaration())
	}
	for _, rule := range g.Chain.Rules {
		b.WriteString(rule.text(g.Chain))
	}
	for _, e := range g.Elements {
		fmt.Fprintf(&b, "add element %s %s %s { %s }\n", e.Set.Family, TableName, e.Set.Name, e.text())
	}
	return b.String()
}

func (r Ruleset) families() []Family {
	var out []Family
	for _, f := range []Family{NetDev, Inet} {
		for _, c := range r.Chains {
			if c.Family == f {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// IsPrefix reports whether the chain is that of all devices whose names begin alike. Such a chain is no part of a
// text: older nft commands take the prefix for a name.
func (c Chain) IsPrefix() bool { return strings.HasSuffix(c.Device, "*") }

func (c Chain) path() string { return fmt.Sprintf("%s %s %s", c.Family, TableName, c.Name) }

func (c Chain) declaration() string {
	if c.Hook == "" {
		return c.path()
	}
	kind, device := "filter", ""
	if c.Hook == HookPostrouting || c.Hook == HookDstNAT {
		kind = "nat"
	}
	if c.Device != "" {
		device = fmt.Sprintf(" device %q", c.Device)
	}
	return fmt.Sprintf("%s { type %s hook %s%s priority %d; policy %s; }", c.path(), kind, c.Hook.point(), device, c.Hook.Priority(), c.Policy)
}

// point is the kernel's name of the place where a hook's chains are called.
func (h Hook) point() Hook {
	if h == HookDstNAT {
		return HookPrerouting
	}
	return h
}

// Priority is where mcpnet's chains stand at a hook: before filters of others (NF_IP_PRI_FILTER is 0), at the usual
// places of NAT, and at NF_IP_PRI_RAW in ingress and before connection tracking.
func (h Hook) Priority() int {
	switch h {
	case HookIngress, HookPrerouting:
		return -300
	case HookDstNAT:
		return -100
	case HookPostrouting:
		return 100
	default:
		return -10
	}
}

func (s Set) kind() string {
	if s.Data != "" {
		return "map"
	}
	return "set"
}

func (s Set) declaration() string {
	dynamic := ""
	switch {
	case s.Counting:
		dynamic = fmt.Sprintf("size %d; flags dynamic; ", s.Size)
	case s.Dynamic:
		dynamic = fmt.Sprintf("size %d; flags dynamic,timeout; ", s.Size)
	case s.Interval:
		dynamic = "flags interval; "
	}
	return fmt.Sprintf("add %s %s %s %s { %s; %s}\n", s.kind(), s.Family, TableName, s.Name, s.typeText(), dynamic)
}

// typeText is the type of the keys and, in a map, of what they lead to.
func (s Set) typeText() string {
	word, named := "type", func(t Type) string { return string(t) }
	if slices.ContainsFunc(s.Key, Type.isRaw) {
		word, named = "typeof", Type.expression
	}
	keys := make([]string, len(s.Key))
	for i, k := range s.Key {
		keys[i] = named(k)
	}
	text := word + " " + strings.Join(keys, " . ")
	if s.Data != "" {
		text += " : " + named(s.Data)
	}
	return text
}

// expression is one that has the type.
func (t Type) expression() string {
	if t.isRaw() {
		return string(t)
	}
	return expressions[t]
}

// text declares the set. One that holds nothing but the policy is emptied first: a changed policy leaves no old
// element.
func (s Set) text() string {
	out := s.declaration()
	if !s.Filled {
		out += fmt.Sprintf("flush %s %s %s %s\n", s.kind(), s.Family, TableName, s.Name)
	}
	if len(s.Elements) == 0 {
		return out
	}
	elements := make([]string, len(s.Elements))
	for i, e := range s.Elements {
		elements[i] = e.text()
	}
	return out + fmt.Sprintf("add element %s %s %s { %s }\n", s.Family, TableName, s.Name, strings.Join(elements, ", "))
}

func (e Element) text() string {
	parts := make([]string, len(e.Key))
	for i, k := range e.Key {
		parts[i] = quoteName(k)
	}
	key := strings.Join(parts, " . ")
	if e.Timeout != "" {
		key += " timeout " + e.Timeout
	}
	if e.Data == "" {
		return key
	}
	return key + " : " + quoteName(e.Data)
}

// quoteName quotes interface names: some of them are words of the nft language. Addresses and numbers are not quoted.
func quoteName(value string) string {
	if strings.ContainsAny(value, ":.") || strings.Trim(value, "0123456789") == "" || strings.HasPrefix(value, "0x") {
		return value
	}
	return fmt.Sprintf("%q", value)
}

// text is the rule's line and, before it, the line that reports what it will take: a limit in the same rule would let
// packets beyond the limit go on to the next rule.
func (r Rule) text(c Chain) string {
	var b strings.Builder
	if r.Log {
		fmt.Fprintf(&b, "add rule %s %slimit rate %d/second burst %d packets log group %d prefix %q comment %q\n",
			c.path(), r.matchText(), LogRatePerSecond, LogBurst, LogGroup, LogPrefix(r.ID), r.ID+"/log")
	}
	fmt.Fprintf(&b, "add rule %s %s", c.path(), r.matchText())
	for _, s := range r.Do {
		b.WriteString(statementText(s) + " ")
	}
	if r.Count {
		b.WriteString("counter ")
	}
	fmt.Fprintf(&b, "%s comment %q\n", verdictText(r.Verdict), r.ID)
	return b.String()
}

func (r Rule) matchText() string {
	var b strings.Builder
	for _, m := range r.Match {
		b.WriteString(matchText(m) + " ")
	}
	return b.String()
}

func matchText(m Match) string {
	switch m := m.(type) {
	case Is:
		return string(m.Field) + " " + valuesText(m.Field, m.Values)
	case IsNot:
		return fmt.Sprintf("%s != %s", m.Field, valuesText(m.Field, []string{m.Value}))
	case In:
		return fmt.Sprintf("%s @%s", fieldsText(m.Fields), m.Set)
	case Shape:
		return string(m)
	}
	panic(fmt.Sprintf("firewall: match %T has no text", m))
}

func valuesText(f Field, values []string) string {
	if f == InIface || f == OutIface {
		quoted := make([]string, len(values))
		for i, v := range values {
			quoted[i] = fmt.Sprintf("%q", v)
		}
		values = quoted
	}
	if len(values) == 1 {
		return values[0]
	}
	return "{ " + strings.Join(values, ", ") + " }"
}

func fieldsText(fields []Field) string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = string(f)
	}
	return strings.Join(out, " . ")
}

func statementText(s Statement) string {
	switch s := s.(type) {
	case Remember:
		return fmt.Sprintf("update @%s { %s timeout %s }", s.Set, fieldsText(s.Fields), s.Timeout)
	case Forget:
		return fmt.Sprintf("delete @%s { %s }", s.Set, fieldsText(s.Fields))
	case MarkConnection:
		return fmt.Sprintf("ct mark set %s map @%s", s.Field, s.Map)
	case SetMark:
		return fmt.Sprintf("meta mark set %d", s.Mark)
	}
	panic(fmt.Sprintf("firewall: statement %T has no text", s))
}

func verdictText(v Verdict) string {
	switch v := v.(type) {
	case Simple:
		return string(v)
	case Goto:
		return "goto " + v.Chain
	case Forward:
		return fmt.Sprintf("fwd to %s map @%s", fieldsText(v.Fields), v.Map)
	case AnswerARP:
		if v.Map == "" {
			return fmt.Sprintf(answerARP, v.Prefix+":00:00:00:00 @ll,64,32 set @nh,192,32")
		}
		return fmt.Sprintf(answerARP, "arp daddr ip map @"+v.Map)
	case ToRouter:
		return fmt.Sprintf("meta mark set %d ether daddr set %s fwd to %q", v.Mark, v.MAC, topology.RouterPort)
	case DNAT:
		return "dnat ip to " + v.To
	case DNATByMap:
		return fmt.Sprintf("dnat ip to %s map @%s", fieldsText(v.Fields), v.Map)
	case Redirect:
		return "redirect to :" + v.Port
	case Deliver:
		return fmt.Sprintf("ether daddr set ip daddr map @%s fwd to ip daddr map @%s", v.MACs, v.Wires)
	}
	panic(fmt.Sprintf("firewall: verdict %T has no text", v))
}

// answerARP rewrites a request in place (RFC 826 offsets in bits: sender IP 112, target MAC 144, target IP 192). The
// map is read first: nothing is changed when it lacks the address. The unused target MAC holds the sender's address
// while the two IP addresses change places.
const answerARP = "ether saddr set %s " +
	"@nh,144,32 set @nh,112,32 @nh,112,32 set @nh,192,32 @nh,192,32 set @nh,144,32 " +
	"arp daddr ether set arp saddr ether ether daddr set arp saddr ether arp saddr ether set ether saddr " +
	"arp operation set reply fwd to meta iif"
