// Package request turns what a surface said into a topology.Network or a topology.Endpoint, or names everything
// that is wrong with it. The file of a surface translates its words into NetworkWords or EndpointWords, which all
// surfaces share; what they mean is decided once, for all surfaces.
//
// Problems come out in the words of the surface. Docker's words are those of package policy, and the others' are
// translated.
package request

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// NetworkWords is what a surface said of a network. A zero field was not said.
type NetworkWords struct {
	Surface    surface.Surface
	ID, Name   string
	Options    map[string]string // by the keys of package policy
	Subnet     netip.Prefix
	BridgeAddr netip.Addr   // the subnet's first address where none was said
	Range      netip.Prefix // what the engine assigns from
	IPv6       bool
	Internal   bool
	Existing   Bridge       // of a network that another plugin made
	Problems   problem.List // what was wrong already with how it was said, in the surface's words
}

// Bridge is a bridge that is there already.
type Bridge struct {
	Name string
	MTU  int
}

// Policy reads the policy alone, for a network whose subnet is not known yet.
func (w NetworkWords) Policy() (policy.Policy, error) {
	p, problems := w.policy()
	if err := problems.Err(); err != nil {
		return policy.Policy{}, err
	}
	return p, nil
}

// Network makes the network. An error is a problem.List that names everything that is wrong.
func (w NetworkWords) Network() (topology.Network, error) {
	p, problems := w.policy()
	bridge := w.bridgeAddr()
	problems = append(problems, w.placement(p, bridge)...)
	if err := problems.Err(); err != nil {
		return topology.Network{}, err
	}
	return topology.Network{
		ID: w.ID, Name: w.Name, Bridge: cmp.Or(w.Existing.Name, p.Bridge), Chained: w.Existing.Name != "",
		Subnet: w.Subnet.Masked(), BridgeAddr: bridge, IPRange: w.Range, Policy: p,
	}, nil
}

// policy reads the options. What was wrong before comes with what is wrong with them.
func (w NetworkWords) policy() (policy.Policy, problem.List) {
	p, err := policy.Parse(w.Options)
	wrong, _ := problem.Of(err) // Parse returns nothing else
	if w.Internal {
		if egress := w.Options[policy.KeyEgress]; egress != "" && egress != "off" {
			wrong = append(wrong, problem.Problem{Key: policy.KeyEgress, Value: egress,
				Reason:   "an " + w.Surface.Words.Internal + " network has no egress",
				Accepted: "off, or no " + w.Surface.Words.Internal})
		}
		p.Egress = policy.Egress{}
		if len(p.Allow) > 0 {
			wrong = append(wrong, problem.Problem{Key: policy.KeyAllow, Value: p.Allow.String(),
				Reason: "an " + w.Surface.Words.Internal + " network leads nowhere", Accepted: "off, or no " + w.Surface.Words.Internal})
		}
	}
	if p.HasNames() && !w.Surface.Resident {
		wrong = append(wrong, problem.Problem{Key: policy.KeyAllow, Value: p.Allow.Names().String(),
			Reason: "names are answered by a process that lives as long as the network, which there is with Docker only", Accepted: "addresses and prefixes"})
	}
	if w.Existing.Name != "" {
		if p.Bridge != "" && p.Bridge != w.Existing.Name {
			wrong = append(wrong, problem.Problem{Key: policy.KeyBridge, Value: p.Bridge,
				Reason: "the plugin before mcpnet uses " + w.Existing.Name, Accepted: "no bridge here"})
		}
		if _, said := w.Options[policy.KeyMTU]; !said {
			p.MTU = w.Existing.MTU
		}
	}
	return p, slices.Concat(w.Problems, w.Surface.Words.Translate(wrong))
}

// bridgeAddr is the address of the bridge. A default does not stand in for one that was refused.
func (w NetworkWords) bridgeAddr() netip.Addr {
	if w.BridgeAddr.IsValid() || !w.Subnet.IsValid() || w.refused(w.Surface.Words.BridgeAddr) {
		return w.BridgeAddr
	}
	return w.Subnet.Masked().Addr().Next()
}

// placement checks the policy against the network that it is for.
func (w NetworkWords) placement(p policy.Policy, bridge netip.Addr) problem.List {
	wrong, _ := problem.Of(p.Validate(policy.Network{Subnet: w.Subnet, BridgeAddr: bridge, IPv6: w.IPv6}))
	wrong = w.Surface.Words.Translate(wrong)
	if !w.Subnet.IsValid() && len(w.Problems) > 0 { // they say why there is none
		wrong = slices.DeleteFunc(wrong, func(p problem.Problem) bool { return p.Key == w.Surface.Words.Subnet })
	}
	return wrong
}

func (w NetworkWords) refused(key string) bool { return has(w.Problems, key) }

func has(problems problem.List, key string) bool {
	return slices.ContainsFunc(problems, func(p problem.Problem) bool { return p.Key == key })
}
