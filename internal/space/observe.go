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
	if o.Links, err = s.observeLinks(names); err != nil {
		return o, nil, err
	}
	state, err := s.NFT.Observe(rules.Sets, names)
	if err != nil {
		return o, nil, fmt.Errorf("observe: %w", err)
	}
	o.Exists, o.Chains, o.Elements = true, state.Chains, state.Elements
	return o, state.Counters, nil
}

// ObserveSkeleton reads what a network's endpoints have in common, and nothing that grows with them.
func (s *Space) ObserveSkeleton(n topology.Network, rules firewall.Ruleset) (o plan.Observed, err error) {
	o.Exists, o.Links = true, map[string]plan.Link{}
	for _, name := range []string{n.Bridge, topology.Router, topology.RouterPort} {
		found, err := s.Links.Find(name)
		if errors.Is(err, link.ErrNotFound) {
			continue
		}
		if err == nil && name == topology.Router {
			found.Addrs, err = s.Links.AddrsOf(name)
		}
		if err != nil {
			return o, err
		}
		o.Links[name] = describe(found, "")
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
	if err != nil || found.Master == 0 {
		return describe(found, ""), err == nil, err
	}
	master, err := s.Links.At(found.Master)
	return describe(found, master.Name), err == nil, err
}

// ObserveHost reads the host's own namespace, iptables left out.
func (s *Space) ObserveHost() (h plan.HostState, err error) {
	if h.Links, err = s.observeLinks(map[int]string{}); err != nil {
		return h, err
	}
	h.Addrs = plan.HostAddrs(h.Links)
	state, err := s.NFT.Observe(nil, nil)
	if err != nil {
		return h, fmt.Errorf("observe: %w", err)
	}
	h.Chains = state.Chains
	h.Forwards, err = s.Links.Forwards()
	return h, err
}

// MarkOf is the mark of a link in a namespace that nothing works in yet; ok is false where there is none.
func MarkOf(h ns.Handle, name string) (m topology.Mark, ok bool) {
	links, err := link.Open(h)
	if err != nil {
		return m, false
	}
	defer links.Close()
	found, err := links.Find(name)
	if err != nil {
		return m, false
	}
	return found.Mark()
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

// observeLinks reads all links, and notes their names by index.
func (s *Space) observeLinks(names map[int]string) (map[string]plan.Link, error) {
	listed, err := s.Links.List()
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	for _, l := range listed {
		names[l.Index] = l.Name
	}
	out := map[string]plan.Link{}
	for _, l := range listed {
		out[l.Name] = describe(l, names[l.Master])
	}
	return out, nil
}

func describe(l link.Link, master string) plan.Link {
	mark, _ := l.Mark()
	return plan.Link{Name: l.Name, Type: l.Type, Master: master, Up: l.Up, MTU: l.MTU, Group: l.Group, MAC: l.MAC.String(), Mark: mark,
		Addrs: l.Addrs, Index: l.Index, In: l.In, Out: l.Out}
}
