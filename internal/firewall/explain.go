package firewall

import (
	"net/netip"
	"slices"
	"strings"
)

// Outcome is what the rules do with a packet, and which rule decided.
type Outcome struct {
	Verdict Verdict
	// RuleID is empty when a chain's policy decided.
	RuleID string
	// Out is the interface of a Forward, or the hardware address of an AnswerARP.
	Out string
	// Remembered and Forgotten are elements of dynamic sets, by the set's name.
	Remembered, Forgotten map[string]Element
}

// Passes reports whether the packet goes anywhere: on, to another endpoint, or into the host's stack.
func (o Outcome) Passes() bool {
	switch v := o.Verdict.(type) {
	case Simple:
		return v == Accept || v == Masquerade
	case Forward:
		return true
	}
	return false
}

// Explain runs a packet through the base chains of a hook, one after the other: what one of them refuses is refused, so
// the first refusal decides; an acceptance only ends its own chain. A frame at HookIngress meets the chain of its device.
// Without any chain the packet is accepted.
func (r Ruleset) Explain(h Hook, p Packet) Outcome {
	result := Outcome{Verdict: Accept}
	for _, c := range r.Chains {
		if c.Hook != h || (h == HookIngress && c.Device != p.Fields[InIface]) {
			continue
		}
		o := r.walk(c, p)
		if !o.Passes() {
			return o
		}
		if o.RuleID != "" {
			result = o
		}
	}
	return result
}

func (r Ruleset) walk(c Chain, p Packet) Outcome {
	policy := c.Policy
	for {
		rule, outcome, found := r.first(c, p)
		if !found {
			return Outcome{Verdict: policy}
		}
		next, isGoto := rule.Verdict.(Goto)
		if !isGoto {
			return outcome
		}
		c, found = r.Chain(c.Family, next.Chain)
		if !found {
			return Outcome{Verdict: Drop, RuleID: rule.ID}
		}
	}
}

// first finds the first rule of a chain that decides about the packet.
func (r Ruleset) first(c Chain, p Packet) (Rule, Outcome, bool) {
	for _, rule := range c.Rules {
		if !r.matches(c.Family, rule.Match, p) {
			continue
		}
		if o, ok := r.decide(c.Family, rule, p); ok {
			return rule, o, true
		}
	}
	return Rule{}, Outcome{}, false
}

func (r Ruleset) decide(f Family, rule Rule, p Packet) (Outcome, bool) {
	o := Outcome{Verdict: rule.Verdict, RuleID: rule.ID, Remembered: map[string]Element{}, Forgotten: map[string]Element{}}
	for _, s := range rule.Do {
		switch s := s.(type) {
		case Remember:
			o.Remembered[s.Set] = Element{Key: p.values(s.Fields)}
		case Forget:
			o.Forgotten[s.Set] = Element{Key: p.values(s.Fields)}
		}
	}
	switch v := rule.Verdict.(type) {
	case Forward:
		e, ok := r.lookup(f, v.Map, p.values(v.Fields))
		o.Out = e.Data
		return o, ok
	case AnswerARP:
		e, ok := r.lookup(f, v.Map, p.values([]Field{ARPDstIP}))
		o.Out = e.Data
		return o, ok
	}
	return o, true
}

func (r Ruleset) matches(f Family, matches []Match, p Packet) bool {
	return !slices.ContainsFunc(matches, func(m Match) bool { return !r.holds(f, m, p) })
}

func (r Ruleset) holds(f Family, m Match, p Packet) bool {
	switch m := m.(type) {
	case Shape:
		return p.Shapes[m]
	case Is:
		value, ok := p.Fields[m.Field]
		return ok && slices.ContainsFunc(m.Values, func(want string) bool { return covers(want, value) })
	case IsNot:
		value, ok := p.Fields[m.Field]
		return ok && !covers(m.Value, value)
	case In:
		_, ok := r.lookup(f, m.Set, p.values(m.Fields))
		return ok
	}
	return false
}

func (r Ruleset) lookup(f Family, set string, key []string) (Element, bool) {
	s, _ := r.Set(f, set)
	for _, e := range s.Elements {
		if slices.Equal(e.Key, key) {
			return e, true
		}
	}
	return Element{}, false
}

func (p Packet) values(fields []Field) []string {
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
