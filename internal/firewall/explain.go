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
	w := walk{r, p, Outcome{Remembered: map[string]Element{}, Forgotten: map[string]Element{}}}
	policy := c.Policy
	for {
		rule, found := w.first(c)
		if !found {
			return w.end(policy, "")
		}
		next, isGoto := rule.Verdict.(Goto)
		if !isGoto {
			return w.end(rule.Verdict, rule.ID)
		}
		c, found = r.Chain(c.Family, next.Chain)
		if !found {
			return w.end(Drop, rule.ID)
		}
	}
}

// walk is a packet's way through chains. What a rule remembers or forgets holds at once, for the rules behind it too:
// a rule whose map then lacks the key does not decide, but it has done that.
type walk struct {
	rules   Ruleset
	packet  Packet
	outcome Outcome
}

func (w *walk) end(v Verdict, id string) Outcome {
	w.outcome.Verdict, w.outcome.RuleID = v, id
	return w.outcome
}

// first finds the first rule of a chain that decides about the packet.
func (w *walk) first(c Chain) (Rule, bool) {
	for _, rule := range c.Rules {
		missed := func(m Match) bool { return !w.holds(c.Family, m) }
		if !slices.ContainsFunc(rule.Match, missed) && w.decides(c.Family, rule) {
			return rule, true
		}
	}
	return Rule{}, false
}

func (w *walk) decides(f Family, rule Rule) bool {
	for _, s := range rule.Do {
		switch s := s.(type) {
		case Remember:
			w.outcome.Remembered[s.Set] = Element{Key: w.packet.values(s.Fields)}
			delete(w.outcome.Forgotten, s.Set)
		case Forget:
			w.outcome.Forgotten[s.Set] = Element{Key: w.packet.values(s.Fields)}
			delete(w.outcome.Remembered, s.Set)
		}
	}
	set, fields := "", []Field{ARPDstIP}
	switch v := rule.Verdict.(type) {
	case Forward:
		set, fields = v.Map, v.Fields
	case AnswerARP:
		set = v.Map
	default:
		return true
	}
	e, ok := w.rules.lookup(f, set, w.packet.values(fields))
	w.outcome.Out = e.Data
	return ok
}

func (w *walk) holds(f Family, m Match) bool {
	switch m := m.(type) {
	case Shape:
		return w.packet.Shapes[m]
	case Is:
		value, ok := w.packet.Fields[m.Field]
		return ok && slices.ContainsFunc(m.Values, func(want string) bool { return covers(want, value) })
	case IsNot:
		value, ok := w.packet.Fields[m.Field]
		return ok && !covers(m.Value, value)
	case In:
		return w.has(f, m.Set, w.packet.values(m.Fields))
	}
	return false
}

func (w *walk) has(f Family, set string, key []string) bool {
	if e, ok := w.outcome.Forgotten[set]; ok && slices.Equal(e.Key, key) {
		return false
	}
	if e, ok := w.outcome.Remembered[set]; ok && slices.Equal(e.Key, key) {
		return true
	}
	_, ok := w.rules.lookup(f, set, key)
	return ok
}

// After is the rule set as an outcome leaves it: with what it remembered, without what it forgot.
func (r Ruleset) After(o Outcome) Ruleset {
	r.Sets = slices.Clone(r.Sets)
	for i := range r.Sets {
		s := &r.Sets[i]
		for _, change := range []map[string]Element{o.Remembered, o.Forgotten} {
			if e, ok := change[s.Name]; ok {
				same := func(other Element) bool { return slices.Equal(other.Key, e.Key) }
				s.Elements = slices.DeleteFunc(slices.Clone(s.Elements), same)
			}
		}
		if e, ok := o.Remembered[s.Name]; ok {
			s.Elements = append(s.Elements, e)
		}
	}
	return r
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
