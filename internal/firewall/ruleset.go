// Package firewall holds the one rule model of mcpnet: what passes between wires, gateways and beyond the network, as
// values. Compile makes it from a network and its endpoints; Text prints it as nftables text; Explain runs a packet
// through it. The renderers in nft and iptables apply it. The package is pure.
//
// Order of a frame's way: the ingress chain of a wire asks who speaks and goes to the rules of its role, which
// forward by map. A frame that they deny goes to the router, which refuses it, and what a gateway sends beyond the
// network goes there to be filtered (table inet mcpnet). What no rule takes is dropped.
package firewall

import (
	"slices"
	"strings"
)

// Family is an nftables address family.
type Family string

// The families in use.
const (
	NetDev Family = "netdev"
	Inet   Family = "inet"
)

// TableName is the name of mcpnet's own table in each family.
const TableName = "mcpnet"

// Hook is where a base chain is called.
type Hook string

// The hooks in use, by their nftables names.
const (
	HookIngress     Hook = "ingress"
	HookPrerouting  Hook = "prerouting"
	HookDstNAT      Hook = "dstnat" // prerouting, where destinations are translated
	HookForward     Hook = "forward"
	HookInput       Hook = "input"
	HookOutput      Hook = "output"
	HookPostrouting Hook = "postrouting"
)

// Ruleset is a set of chains with the sets and maps they look up.
type Ruleset struct {
	Features Features // that it is compiled for
	Sets     []Set
	Chains   []Chain
}

// Chain is a list of rules. One with a Hook is called by the kernel, others are gone to.
type Chain struct {
	Family Family
	Name   string
	Hook   Hook   // empty: not a base chain
	Device string // for HookIngress: the interface
	Policy Verdict
	Rules  []Rule
}

// Rule matches a packet, changes it or remembers it, and decides.
type Rule struct {
	// ID is stable over versions: "network/what". Counters, logs, traces and Explain name it.
	ID      string
	Match   []Match
	Do      []Statement
	Verdict Verdict
	// Count adds a counter.
	Count bool
	// Log reports packets to NFLOG group LogGroup.
	Log bool
}

// LogGroup is the NFLOG group of reported packets. A rule reports at most LogRatePerSecond of them, after a burst.
const (
	LogGroup         = 4740
	LogRatePerSecond = 10
	LogBurst         = 20
)

// LogPrefix is how a report names its rule.
func LogPrefix(id string) string { return "mcpnet:" + id + " " }

// Set is a set, or a map when Data is a type.
type Set struct {
	Family  Family
	Name    string
	Key     []Type
	Data    Type // zero: a set
	Dynamic bool // rules add elements, with timeouts unless Counting is set
	// Counting sets hold how many connections each key has (nft_connlimit), which the kernel takes without timeouts only.
	Counting bool
	// Interval sets hold keys whose parts may be ranges, such as "198.51.100.0-198.51.100.255". Their key has several
	// parts, and no two elements overlap.
	Interval bool
	Size     int // of a dynamic set: the most elements
	// Filled sets get their elements from endpoints or from rules; loading the rule set leaves those alone.
	Filled bool
	// Elements are those the policy gives.
	Elements []Element
}

// Element is a key of one value for each field and, in a map, what it leads to.
type Element struct {
	Key  []string
	Data string
	// Timeout is when it goes, of an element of a dynamic set: an nftables time, such as "60s".
	Timeout string
}

// KeyText is the key as one word: its parts with " . " between them.
func (e Element) KeyText() string { return strings.Join(e.Key, " . ") }

// WithElements is the rule set with these elements, by the name of a set, besides its own.
func (r Ruleset) WithElements(of map[string][]Element) Ruleset {
	sets := slices.Clone(r.Sets)
	for i, s := range sets {
		sets[i].Elements = append(slices.Clone(s.Elements), of[s.Name]...)
	}
	r.Sets = sets
	return r
}

// Guard is the firewall's part of one endpoint: its elements of the network's sets and, where each wire needs one,
// its chain.
type Guard struct {
	Wire     string
	Chain    Chain // without a name: none
	Elements []GuardElement
	// Gone are elements that are taken away before the others are put: see Change. A transaction about an element that
	// is missing costs the kernel a grace period, so that it names only what may be there.
	Gone []GuardElement
}

// OfWireAlone is the guard without what leads to the endpoint's address, which another endpoint has taken.
func (g Guard) OfWireAlone() Guard {
	g.Elements = slices.DeleteFunc(slices.Clone(g.Elements), func(e GuardElement) bool { return e.Set.Key[0] != IfaceIndex })
	return g
}

// GuardElement is an element of the named set.
type GuardElement struct {
	Set Set
	Element
}

// Set finds a set by name.
func (r Ruleset) Set(f Family, name string) (Set, bool) {
	for _, s := range r.Sets {
		if s.Family == f && s.Name == name {
			return s, true
		}
	}
	return Set{}, false
}

// Chain finds a chain by name.
func (r Ruleset) Chain(f Family, name string) (Chain, bool) {
	for _, c := range r.Chains {
		if c.Family == f && c.Name == name {
			return c, true
		}
	}
	return Chain{}, false
}

// With is the rule set with the guards of endpoints in it, as the kernel holds it.
func (r Ruleset) With(guards ...Guard) Ruleset {
	out := Ruleset{Chains: append([]Chain(nil), r.Chains...)}
	for _, s := range r.Sets {
		s.Elements = append([]Element(nil), s.Elements...)
		for _, g := range guards {
			for _, e := range g.Elements {
				if e.Set.Family == s.Family && e.Set.Name == s.Name {
					s.Elements = append(s.Elements, e.Element)
				}
			}
		}
		out.Sets = append(out.Sets, s)
	}
	for _, g := range guards {
		if g.Chain.Name != "" {
			out.Chains = append(out.Chains, g.Chain)
		}
	}
	return out
}
