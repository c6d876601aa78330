// Package explain runs packets through the rules of package firewall as the kernel does, in this process: which rule
// decides, and what becomes of the packet. Tests of the rules and of the kernel are held against it.
package explain

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go4.org/netipx"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Outcome is what the rules do with a packet, and which rule decided.
type Outcome struct {
	Verdict firewall.Verdict
	// RuleID is empty when a chain's policy decided.
	RuleID string
	// Out is the interface of a Forward, or the hardware address of an AnswerARP.
	Out string
	// Remembered and Forgotten are elements of dynamic sets, by the set's name.
	Remembered, Forgotten map[string]firewall.Element
}

// Passes reports whether the packet goes anywhere: on, to another endpoint, or into the host's stack.
func (o Outcome) Passes() bool {
	switch v := o.Verdict.(type) {
	case firewall.Simple:
		return v == firewall.Accept || v == firewall.Masquerade
	case firewall.Forward, firewall.Deliver:
		return true
	case firewall.ToRouter:
		return v.Mark != topology.MarkDenied
	}
	return false
}

// Rules runs a packet through the base chains of a hook, one after the other: what one of them refuses is refused, so
// the first refusal decides; an acceptance only ends its own chain. A frame at HookIngress meets the chain of its
// device, or the one of all devices of a prefix. Without any chain the packet is accepted.
func Rules(r firewall.Ruleset, h firewall.Hook, p Packet) Outcome {
	result := Outcome{Verdict: firewall.Accept}
	for _, c := range r.Chains {
		if c.Hook != h || (h == firewall.HookIngress && !covers(c.Device, p.Fields[firewall.InIface])) {
			continue
		}
		o := through(r, c, p)
		if !o.Passes() {
			return o
		}
		if o.RuleID != "" {
			result = o
		}
	}
	return result
}

func through(r firewall.Ruleset, c firewall.Chain, p Packet) Outcome {
	w := walk{r, p, Outcome{Remembered: map[string]firewall.Element{}, Forgotten: map[string]firewall.Element{}}}
	policy := c.Policy
	for {
		rule, found := w.first(c)
		if !found {
			return w.end(policy, "")
		}
		next, isGoto := rule.Verdict.(firewall.Goto)
		if !isGoto {
			return w.end(rule.Verdict, rule.ID)
		}
		c, found = r.Chain(c.Family, next.Chain)
		if !found {
			return w.end(firewall.Drop, rule.ID)
		}
	}
}

// walk is a packet's way through chains. What a rule remembers or forgets holds at once, for the rules behind it too:
// a rule whose map then lacks the key does not decide, but it has done that.
type walk struct {
	rules   firewall.Ruleset
	packet  Packet
	outcome Outcome
}

func (w *walk) end(v firewall.Verdict, id string) Outcome {
	w.outcome.Verdict, w.outcome.RuleID = v, id
	return w.outcome
}

// first finds the first rule of a chain that decides about the packet.
func (w *walk) first(c firewall.Chain) (firewall.Rule, bool) {
	for _, rule := range c.Rules {
		missed := func(m firewall.Match) bool { return !w.holds(c.Family, m) }
		if !slices.ContainsFunc(rule.Match, missed) && w.decides(c.Family, rule) {
			return rule, true
		}
	}
	return firewall.Rule{}, false
}

func (w *walk) decides(f firewall.Family, rule firewall.Rule) bool {
	for _, s := range rule.Do {
		switch s := s.(type) {
		case firewall.Remember:
			w.outcome.Remembered[s.Set] = firewall.Element{Key: w.packet.values(s.Fields)}
			delete(w.outcome.Forgotten, s.Set)
		case firewall.SetMark:
			w.packet.Fields = maps.Clone(w.packet.Fields)
			w.packet.Fields[firewall.Mark] = strconv.Itoa(s.Mark)
		case firewall.Forget:
			w.outcome.Forgotten[s.Set] = firewall.Element{Key: w.packet.values(s.Fields)}
			delete(w.outcome.Remembered, s.Set)
		}
	}
	set, fields := "", []firewall.Field{firewall.ARPDstIP}
	switch v := rule.Verdict.(type) {
	case firewall.Forward:
		set, fields = v.Map, v.Fields
	case firewall.AnswerARP:
		if set = v.Map; set == "" {
			asked, whole := w.packet.Fields[firewall.ARPDstIP] // of a request that is cut short nothing can be turned around
			if a, err := netip.ParseAddr(asked); err == nil {
				b := a.As4()
				w.outcome.Out = fmt.Sprintf("%s:%02x:%02x:%02x:%02x", v.Prefix, b[0], b[1], b[2], b[3])
			}
			return whole
		}
	case firewall.Deliver:
		set, fields = v.Wires, []firewall.Field{firewall.IPDst}
		if _, ok := lookup(w.rules, f, v.MACs, w.packet.values(fields)); !ok {
			return false
		}
	default:
		return true
	}
	e, ok := lookup(w.rules, f, set, w.packet.values(fields))
	w.outcome.Out = e.Data
	return ok
}

func (w *walk) holds(f firewall.Family, m firewall.Match) bool {
	switch m := m.(type) {
	case firewall.Shape:
		return w.packet.Shapes[m]
	case firewall.Is:
		value, ok := w.packet.Fields[m.Field]
		return ok && slices.ContainsFunc(m.Values, func(want string) bool { return covers(want, value) })
	case firewall.IsNot:
		value, ok := w.packet.Fields[m.Field]
		return ok && !covers(m.Value, value)
	case firewall.In:
		return w.has(f, m.Set, w.packet.values(m.Fields))
	}
	return false
}

func (w *walk) has(f firewall.Family, set string, key []string) bool {
	if e, ok := w.outcome.Forgotten[set]; ok && slices.Equal(e.Key, key) {
		return false
	}
	if e, ok := w.outcome.Remembered[set]; ok && slices.Equal(e.Key, key) {
		return true
	}
	_, ok := lookup(w.rules, f, set, key)
	return ok
}

// After is the rule set as an outcome leaves it: with what it remembered, without what it forgot.
func After(r firewall.Ruleset, o Outcome) firewall.Ruleset {
	r.Sets = slices.Clone(r.Sets)
	for i := range r.Sets {
		s := &r.Sets[i]
		for _, change := range []map[string]firewall.Element{o.Remembered, o.Forgotten} {
			if e, ok := change[s.Name]; ok {
				same := func(other firewall.Element) bool { return slices.Equal(other.Key, e.Key) }
				s.Elements = slices.DeleteFunc(slices.Clone(s.Elements), same)
			}
		}
		if e, ok := o.Remembered[s.Name]; ok {
			s.Elements = append(s.Elements, e)
		}
	}
	return r
}

func lookup(r firewall.Ruleset, f firewall.Family, set string, key []string) (firewall.Element, bool) {
	s, _ := r.Set(f, set)
	for _, e := range s.Elements {
		if slices.EqualFunc(e.Key, key, inRange) {
			return e, true
		}
	}
	return firewall.Element{}, false
}

// inRange compares a part of an element's key, which may be a range of addresses, with a packet's.
func inRange(part, value string) bool {
	r, err := netipx.ParseIPRange(part)
	if err != nil {
		return part == value
	}
	a, err := netip.ParseAddr(value)
	return err == nil && r.Contains(a)
}

func (p Packet) values(fields []firewall.Field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = p.Fields[f]
	}
	return out
}

// covers compares a rule's value with a packet's: a prefix covers its addresses, a trailing * every interface name that
// begins so.
func covers(want, value string) bool {
	if begin, ok := strings.CutSuffix(want, "*"); ok {
		return strings.HasPrefix(value, begin)
	}
	if prefix, err := netip.ParsePrefix(want); err == nil {
		a, err := netip.ParseAddr(value)
		return err == nil && prefix.Contains(a)
	}
	return want == value
}
