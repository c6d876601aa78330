package firewall_test

import (
	"flag"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/golden"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testtopology"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The two kinds of machines.
var (
	prefixed = firewall.Features{DevicePrefix: true}
	older    = firewall.Features{}
)

func TestNetworkText(t *testing.T) {
	for name, o := range testtopology.Policies {
		t.Run(name, func(t *testing.T) {
			text := firewall.CompileNetwork(testtopology.Network(t, o), prefixed).LoadText()
			golden.Check(t, *update, "network-"+name+".nft", text)
			if other := firewall.CompileNetwork(testtopology.Network(t, o), older).LoadText(); other != text {
				t.Errorf("the text depends on the kernel; on an older one it is:\n%s", other)
			}
		})
	}
}

// TestPrefixChain: the chain of all wires is a part of the rules where the kernel can, but not of the text.
func TestPrefixChain(t *testing.T) {
	n := testtopology.Network(t, nil)
	c, ok := firewall.CompileNetwork(n, prefixed).Chain(firewall.NetDev, "MCP-INGRESS")
	if !ok || c.Device != "mcpw*" || !c.IsPrefix() || c.Policy != firewall.Drop || len(c.Rules) != 1 {
		t.Errorf("%+v", c)
	}
	if _, ok := firewall.CompileNetwork(n, older).Chain(firewall.NetDev, "MCP-INGRESS"); ok {
		t.Error("an older kernel is to have it too")
	}
	for _, c := range firewall.CompileNetwork(n, older).Chains {
		if c.IsPrefix() {
			t.Errorf("chain %s is for a prefix", c.Name)
		}
	}
}

func TestHostText(t *testing.T) {
	for _, name := range []string{"default", "egress-off", "egress-udp", "gateways"} {
		golden.Check(t, *update, "host-"+name+".nft", firewall.CompileHost(testtopology.Network(t, testtopology.Policies[name])).LoadText())
	}
	n := testtopology.Network(t, nil)
	to := netip.MustParseAddrPort("172.20.0.100:8080")
	n.Published = []topology.Publication{{HostPort: 18080, To: to}, {HostPort: 18081, HostIP: netip.MustParseAddr("192.0.2.1"), To: to},
		{HostPort: 18082, HostIP: netip.MustParseAddr("127.0.0.1"), To: to}}
	golden.Check(t, *update, "host-published.nft", firewall.CompileHost(n).LoadText())
}

func TestGuardText(t *testing.T) {
	n := testtopology.Network(t, testtopology.Options{policy.KeyGateway: "172.20.0.100:8080,172.20.0.100:53/udp", policy.KeyCapsMode: "enforce"})
	server := func(id, ip string, state topology.AdmissionState) topology.Endpoint {
		e := testtopology.Endpoint(n, id, ip, topology.RoleServer)
		e.Admission.State = state
		return e
	}
	for name, e := range map[string]topology.Endpoint{
		"server":      server("a", "172.20.240.1", topology.Conforms),
		"held":        server("b", "172.20.240.2", topology.AdmissionWaiting),
		"quarantined": server("q", "172.20.240.3", topology.Violates),
		"gateway":     testtopology.Endpoint(n, "g", "172.20.0.100", topology.RoleGateway),
		"candidate":   testtopology.Endpoint(n, "c", "172.20.0.100", topology.RoleCandidate),
	} {
		golden.Check(t, *update, "guard-"+name+".nft", firewall.CompileEndpoint(n, e, older).Text())
		guard := firewall.CompileEndpoint(n, e, prefixed)
		if guard.Chain.Name != "" || guard.Wire != e.Wire() {
			t.Errorf("%s: a chain of its own beside that of all wires: %+v", name, guard.Chain)
		}
		if want := firewall.CompileEndpoint(n, e, older).Elements; !reflect.DeepEqual(guard.Elements, want) {
			t.Errorf("%s: the elements depend on the kernel", name)
		}
	}
}

// TestChange: what an endpoint loses by becoming another one is named, and nothing that it keeps.
func TestChange(t *testing.T) {
	n := testtopology.Network(t, testtopology.Options{policy.KeyCapsMode: "enforce"})
	held := testtopology.Endpoint(n, "a", "172.20.240.1", topology.RoleServer)
	admitted, quarantined := held, held
	admitted.Admission.State, quarantined.Admission.State = topology.Conforms, topology.Violates
	candidate := testtopology.Endpoint(n, "c", "172.20.0.100", topology.RoleCandidate)
	promoted := candidate
	promoted.Role = topology.RoleGateway
	for _, c := range []struct {
		what          string
		before, after topology.Endpoint
		gone          []string
	}{
		{"admitted", held, admitted, []string{"anti-spoof-held", "held-servers"}},
		{"quarantined", admitted, quarantined, []string{"anti-spoof", "server-wire", "servers"}},
		{"held again", admitted, held, []string{"anti-spoof", "server-wire", "servers"}},
		{"promoted", candidate, promoted, []string{"anti-spoof-denied"}},
		{"unchanged", admitted, admitted, nil},
	} {
		after := firewall.CompileEndpoint(n, c.after, prefixed)
		got := firewall.Change(firewall.CompileEndpoint(n, c.before, prefixed), after)
		var gone []string
		for _, e := range got.Gone {
			gone = append(gone, e.Set.Name)
		}
		slices.Sort(gone)
		if !slices.Equal(gone, c.gone) || !reflect.DeepEqual(got.Elements, after.Elements) {
			t.Errorf("%s: gone %v, want %v; %v", c.what, gone, c.gone, got.Elements)
		}
	}
}

// TestOfWireAlone: what leads to an address stays with the endpoint that has it now.
func TestOfWireAlone(t *testing.T) {
	n := testtopology.Network(t, nil)
	for _, e := range []topology.Endpoint{testtopology.Endpoint(n, "a", "172.20.240.1", topology.RoleServer),
		testtopology.Endpoint(n, "g", "172.20.0.100", topology.RoleGateway)} {
		whole := firewall.CompileEndpoint(n, e, older)
		alone := whole.OfWireAlone()
		if len(alone.Elements) == 0 || len(alone.Elements) == len(whole.Elements) ||
			!reflect.DeepEqual(alone.Chain, whole.Chain) {
			t.Errorf("%s: %v of %v", e.Role, alone.Elements, whole.Elements)
		}
		for _, element := range alone.Elements {
			if element.Key[0] != e.Wire() {
				t.Errorf("%s: %s %v is not its wire's", e.Role, element.Set.Name, element.Key)
			}
		}
	}
}

// everyRuleset calls f with the rules of every policy, in both variants, with an endpoint of each role.
func everyRuleset(t *testing.T, f func(name string, n topology.Network, r firewall.Ruleset)) {
	t.Helper()
	for name, o := range testtopology.Policies {
		n := testtopology.Network(t, o)
		n.Bridge = "mcp-longest-nam" // as long as a name can be
		for _, features := range []firewall.Features{prefixed, older} {
			f(name, n, firewall.CompileNetwork(n, features).With(
				firewall.CompileEndpoint(n, testtopology.Endpoint(n, "a", "172.20.240.1", topology.RoleServer), features),
				firewall.CompileEndpoint(n, testtopology.Endpoint(n, "g", "172.20.0.100", topology.RoleGateway), features)))
		}
		f(name+" on the host", n, firewall.CompileHost(n))
	}
}

// TestIDs holds every rule to an id that counters, logs and status can name: its network, a stroke, and one word of its
// own in its chain. A log prefix has room for 127 bytes (NF_LOG_PREFIXLEN).
func TestIDs(t *testing.T) {
	everyRuleset(t, func(name string, n topology.Network, r firewall.Ruleset) {
		for _, c := range r.Chains {
			seen := map[string]bool{}
			for _, r := range c.Rules {
				if len(r.ID) <= len(n.Bridge)+1 || r.ID[:len(n.Bridge)+1] != n.Bridge+"/" || seen[r.ID] ||
					len("mcpnet:"+r.ID) > 100 {
					t.Errorf("policy %s: chain %s: id %q", name, c.Name, r.ID)
				}
				seen[r.ID] = true
			}
		}
	})
}

// TestNamesFit holds names of sets and chains to what the kernel takes with the longest bridge name.
func TestNamesFit(t *testing.T) {
	const most = 255 // NFT_NAME_MAXLEN - 1; one of a set that nft 1.0.6 takes is as long
	everyRuleset(t, func(name string, _ topology.Network, r firewall.Ruleset) {
		for _, s := range r.Sets {
			if len(s.Name) > most {
				t.Errorf("%s: set %s is too long", name, s.Name)
			}
		}
		for _, c := range r.Chains {
			if len(c.Name) > most {
				t.Errorf("%s: chain %s is too long", name, c.Name)
			}
		}
	})
}

// TestReferences: every chain and set that a rule names is there, in its own family; and a base chain of ingress drops
// what none of its rules takes.
func TestReferences(t *testing.T) {
	everyRuleset(t, func(name string, _ topology.Network, r firewall.Ruleset) {
		for _, c := range r.Chains {
			if c.Hook == firewall.HookIngress && c.Policy != firewall.Drop {
				t.Errorf("policy %s: chain %s has policy %v", name, c.Name, c.Policy)
			}
			for _, rule := range c.Rules {
				for _, set := range setsOf(rule) {
					if _, ok := r.Set(c.Family, set); !ok {
						t.Errorf("policy %s: rule %s names set %s, which is missing", name, rule.ID, set)
					}
				}
				if next, ok := rule.Verdict.(firewall.Goto); ok {
					if _, ok := r.Chain(c.Family, next.Chain); !ok {
						t.Errorf("policy %s: rule %s goes to %s, which is missing", name, rule.ID, next.Chain)
					}
				}
			}
		}
	})
}

// setsOf are the sets and maps that a rule names.
func setsOf(r firewall.Rule) (sets []string) {
	for _, m := range r.Match {
		if in, ok := m.(firewall.In); ok {
			sets = append(sets, in.Set)
		}
	}
	for _, s := range r.Do {
		switch s := s.(type) {
		case firewall.Remember:
			sets = append(sets, s.Set)
		case firewall.Forget:
			sets = append(sets, s.Set)
		}
	}
	switch v := r.Verdict.(type) {
	case firewall.Forward:
		sets = append(sets, v.Map)
	case firewall.Deliver:
		sets = append(sets, v.MACs, v.Wires)
	case firewall.AnswerARP:
		if v.Map != "" {
			sets = append(sets, v.Map)
		}
	}
	return sets
}
