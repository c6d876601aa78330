package space

import (
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Observe reads the links of a network's namespace, its chains, what is in the sets of its rules, and the counters of
// rules by id.
func (s *Space) Observe(rules firewall.Ruleset) (o plan.Observed, counters map[string]topology.Traffic, err error) {
	names := map[int]string{}
	listed, err := s.list(names)
	if err != nil {
		return o, nil, err
	}
	if o.Prepared, err = s.Links.Prepared(listed...); err != nil {
		return o, nil, err
	}
	state, err := s.NFT.Observe(rules.Sets, names)
	if err != nil {
		return o, nil, fmt.Errorf("observe: %w", err)
	}
	o.Exists, o.Links, o.Chains, o.Elements = true, byName(listed, names), state.Chains, state.Elements
	return o, state.Counters, nil
}

// ObserveSkeleton reads what a network's endpoints have in common, and nothing that grows with them.
func (s *Space) ObserveSkeleton(n topology.Network, rules firewall.Ruleset) (o plan.Observed, err error) {
	o.Exists, o.Links = true, map[string]plan.Link{}
	addrs, err := s.Links.Addrs()
	if err != nil {
		return o, err
	}
	var links []link.Link
	for _, name := range []string{n.Bridge, topology.Router, topology.RouterPort} {
		found, err := s.Links.Find(name)
		if errors.Is(err, link.ErrNotFound) {
			continue
		}
		if err != nil {
			return o, err
		}
		found.Addrs = addrs[found.Index]
		links = append(links, found)
		if o.Links[name], err = s.describe(found); err != nil {
			return o, err
		}
	}
	if o.Prepared, err = s.Links.Prepared(links...); err != nil {
		return o, err
	}
	state, err := s.NFT.ObserveOnly(rules)
	o.Chains, o.Elements = state.Chains, state.Elements
	return o, err
}

// ObserveLink reads one link; it is not there where ok is false.
func (s *Space) ObserveLink(name string) (l plan.Link, ok bool, err error) {
	found, err := s.Links.Find(name)
	if errors.Is(err, link.ErrNotFound) {
		return l, false, nil
	}
	if err == nil {
		l, err = s.describe(found)
	}
	return l, err == nil, err
}

// describe looks for the name of a link's master.
func (s *Space) describe(found link.Link) (plan.Link, error) {
	if found.Master == 0 {
		return describe(found, ""), nil
	}
	master, err := s.Links.At(found.Master)
	return describe(found, master.Name), err
}

// ObserveHost reads the host's own namespace, iptables left out.
func (s *Space) ObserveHost() (h plan.HostState, err error) {
	names := map[int]string{}
	listed, err := s.list(names)
	if err != nil {
		return h, err
	}
	h.Links = byName(listed, names)
	h.Addrs = plan.HostAddrs(h.Links)
	state, err := s.NFT.Observe(nil, nil)
	if err != nil {
		return h, fmt.Errorf("observe: %w", err)
	}
	h.Chains = state.Chains
	h.Forwards, err = s.Links.Forwards()
	return h, err
}

// LinkIn reads one link of a namespace that nothing works in yet; it is not there where ok is false.
func LinkIn(h ns.Handle, name string) (l plan.Link, ok bool, err error) {
	links, err := link.Open(h)
	if err != nil {
		return l, false, err
	}
	defer links.Close()
	return (&Space{Links: links}).ObserveLink(name)
}

// MissingRules tells what of an endpoint's rules is not there: its elements, and its wire's own chain where it has one.
func (s *Space) MissingRules(g firewall.Guard, index int) ([]string, error) {
	missing, err := s.NFT.MissingElements(nft.Guard{Guard: g, Index: index})
	if err != nil || g.Chain.Name == "" {
		return missing, err
	}
	state, err := s.NFT.ObserveOnly(firewall.Ruleset{Chains: []firewall.Chain{g.Chain}})
	if err == nil && !(plan.Observed{Chains: state.Chains}).Guards(firewall.Guard{Chain: g.Chain}) {
		missing = append(missing, fmt.Sprintf("chain %s does not lead to the anti-spoof rules", g.Chain.Name))
	}
	return missing, err
}

// UplinkHolds reports whether a network's uplink is whole, seen from its namespace.
func (s *Space) UplinkHolds(n topology.Network, host *Space) (bool, error) {
	return s.Links.UplinkHolds(s.uplink(n), host.Links)
}

// list reads all links, and notes their names by index.
func (s *Space) list(names map[int]string) ([]link.Link, error) {
	listed, err := s.Links.List()
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	for _, l := range listed {
		names[l.Index] = l.Name
	}
	return listed, nil
}

func byName(listed []link.Link, names map[int]string) map[string]plan.Link {
	out := map[string]plan.Link{}
	for _, l := range listed {
		out[l.Name] = describe(l, names[l.Master])
	}
	return out
}

func describe(l link.Link, master string) plan.Link {
	mark, _ := l.Mark()
	return plan.Link{Name: l.Name, Type: l.Type, Master: master, Up: l.Up, MTU: l.MTU, Group: l.Group, MAC: l.MAC.String(), Mark: mark,
		Addrs: l.Addrs, Index: l.Index, In: l.In, Out: l.Out, Settings: l.Settings, NoARP: l.NoARP, Isolated: l.Isolated}
}
