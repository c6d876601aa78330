package plan_test

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/golden"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

// desired is a network with two servers, one of them not joined, a gateway and a candidate.
func desired(t testing.TB) plan.Desired {
	t.Helper()
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:8080"})
	if err != nil {
		t.Fatal(err)
	}
	n := topology.Network{ID: "4f2a9c1e", Name: "mcp", Owner: topology.OwnerDocker, Bridge: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	return plan.Desired{Owner: topology.OwnerDocker, Networks: []plan.Network{{Network: n, Endpoints: []plan.Endpoint{
		endpoint(n, "a", "172.20.240.1", topology.RoleServer, true), endpoint(n, "b", "172.20.240.2", topology.RoleServer, false),
		endpoint(n, "g", "172.20.0.100", topology.RoleGateway, true), endpoint(n, "c", "172.20.0.101", topology.RoleCandidate, true)}}}}
}

func endpoint(n topology.Network, id, ip string, role topology.Role, joined bool) plan.Endpoint {
	a := netip.MustParseAddr(ip)
	return plan.Endpoint{Joined: joined, Endpoint: topology.Endpoint{ID: id, NetworkID: n.ID, Owner: n.Owner, Role: role, IP: a, MAC: topology.MACFor(n.ID, a)}}
}

// settled is a kernel that holds everything desired.
func settled(d plan.Desired) plan.Observed {
	o := plan.Observed{Links: map[string]plan.Link{}, Elements: map[string]int{}, IPTables: map[string]bool{},
		Chains: map[firewall.Family]map[string][]string{firewall.NetDev: {}, firewall.Inet: {}}}
	hold := func(chains ...firewall.Chain) {
		for _, c := range chains {
			var ids []string
			for _, r := range c.Rules {
				if r.Log {
					ids = append(ids, r.ID+"/log")
				}
				ids = append(ids, r.ID)
			}
			o.Chains[c.Family][c.Name] = ids
		}
	}
	hold(firewall.CompileWires().Chains...)
	for _, n := range d.Networks {
		rules := firewall.CompileNetwork(n.Network, d.Features)
		hold(rules.Chains...)
		for _, set := range rules.Sets {
			o.Elements[set.Name] += len(set.Elements)
		}
		o.Links[n.Bridge] = plan.Link{Name: n.Bridge, Up: true, Owner: n.Owner, ID: n.ID, Addrs: []netip.Prefix{n.BridgePrefix()}}
		o.IPTables[n.Bridge] = true
		for _, e := range n.Endpoints {
			g := firewall.CompileEndpoint(n.Network, e.Endpoint)
			hold(g.Chain)
			for _, element := range g.Elements {
				o.Elements[element.Set.Name]++
			}
			l := plan.Link{Name: e.Wire(), Up: e.Joined, Owner: e.Owner, ID: e.ID}
			if e.Role == topology.RoleGateway {
				l.Master = n.Bridge
			}
			o.Links[l.Name] = l
		}
	}
	return o
}

func printed(steps []plan.Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

func TestDiff(t *testing.T) {
	wire := func(d plan.Desired, i int) string { return d.Networks[0].Endpoints[i].Wire() }
	change := func(o plan.Observed, name string, f func(*plan.Link)) {
		l := o.Links[name]
		f(&l)
		o.Links[name] = l
	}
	for name, spoil := range map[string]func(d *plan.Desired, o *plan.Observed){
		"settled": func(*plan.Desired, *plan.Observed) {},
		"nothing-there": func(_ *plan.Desired, o *plan.Observed) {
			*o = plan.Observed{IPTables: map[string]bool{}}
		},
		"no-iptables":   func(_ *plan.Desired, o *plan.Observed) { o.IPTables = nil },
		"iptables-lost": func(_ *plan.Desired, o *plan.Observed) { o.IPTables["mcp-secure"] = false },
		"iptables-left-alone": func(d *plan.Desired, o *plan.Observed) {
			d.Networks[0].Policy.Firewall = policy.FirewallNFTables
			o.IPTables["mcp-secure"] = false
		},
		"flushed": func(_ *plan.Desired, o *plan.Observed) {
			o.Chains, o.Elements = map[firewall.Family]map[string][]string{}, map[string]int{}
		},
		"rule-lost": func(_ *plan.Desired, o *plan.Observed) {
			ids := o.Chains[firewall.NetDev]["DOCKER-MCP.mcp-secure"]
			o.Chains[firewall.NetDev]["DOCKER-MCP.mcp-secure"] = ids[1:]
		},
		"rule-added": func(_ *plan.Desired, o *plan.Observed) {
			o.Chains[firewall.Inet]["input.mcp-secure"] = append([]string{""}, o.Chains[firewall.Inet]["input.mcp-secure"]...)
		},
		"wires-lost": func(_ *plan.Desired, o *plan.Observed) { delete(o.Chains[firewall.Inet], "forward") },
		"guard-lost": func(d *plan.Desired, o *plan.Observed) {
			delete(o.Chains[firewall.NetDev], "in-"+wire(*d, 0))
		},
		"guard-changed": func(d *plan.Desired, o *plan.Observed) {
			o.Chains[firewall.NetDev]["in-"+wire(*d, 3)] = []string{"mcp-secure/own-ipv4"}
		},
		"element-lost": func(_ *plan.Desired, o *plan.Observed) { o.Elements["mcp-secure.wire"]-- },
		"bridge-down":  func(_ *plan.Desired, o *plan.Observed) { change(*o, "mcp-secure", func(l *plan.Link) { l.Up = false }) },
		"bridge-lost": func(d *plan.Desired, o *plan.Observed) {
			delete(o.Links, "mcp-secure")
			change(*o, wire(*d, 2), func(l *plan.Link) { l.Master = "" })
		},
		"wire-down": func(d *plan.Desired, o *plan.Observed) { change(*o, wire(*d, 0), func(l *plan.Link) { l.Up = false }) },
		"wire-unmade": func(d *plan.Desired, o *plan.Observed) {
			change(*o, wire(*d, 1), func(l *plan.Link) { l.ID, l.Owner = "", "" })
		},
		"port-released": func(d *plan.Desired, o *plan.Observed) {
			change(*o, wire(*d, 2), func(l *plan.Link) { l.Master = "" })
		},
		"wires-gone": func(d *plan.Desired, o *plan.Observed) { // of one that joined, which is lost, and of one that did not
			delete(o.Links, wire(*d, 0))
			delete(o.Links, wire(*d, 1))
		},
		"empty": func(d *plan.Desired, o *plan.Observed) { d.Networks, *o = nil, plan.Observed{} },
	} {
		t.Run(name, func(t *testing.T) {
			d := desired(t)
			o := settled(d)
			spoil(&d, &o)
			golden.Check(t, *update, "diff-"+name+".txt", printed(plan.Diff(d, o)))
		})
	}
}

// TestOrder: on the way in every rule stands before a link comes up.
func TestOrder(t *testing.T) {
	d := desired(t)
	for i := range d.Networks[0].Endpoints {
		d.Networks[0].Endpoints[i].Joined = false
	}
	o := plan.Observed{IPTables: map[string]bool{}}
	steps := plan.Diff(d, o)
	position := func(match func(plan.Step) bool) int { return slices.IndexFunc(steps, match) }
	guard := position(func(s plan.Step) bool { _, ok := s.(plan.AddGuard); return ok })
	rules := position(func(s plan.Step) bool { _, ok := s.(plan.LoadNetwork); return ok })
	wires := position(func(s plan.Step) bool { _, ok := s.(plan.LoadWires); return ok })
	bridge := position(func(s plan.Step) bool { _, ok := s.(plan.EnsureBridge); return ok })
	if wires != 0 || !(wires < rules && rules < bridge && rules < guard) {
		t.Errorf("order:\n%s", printed(steps))
	}
	for _, s := range steps {
		if up, ok := s.(plan.SetUp); ok {
			t.Errorf("%s comes up without having joined", up.Wire)
		}
	}
}

func TestLost(t *testing.T) {
	d := desired(t)
	o := settled(d)
	if got := plan.Lost(d, o); len(got) > 0 {
		t.Errorf("lost %v", got)
	}
	delete(o.Links, d.Networks[0].Endpoints[0].Wire())
	delete(o.Links, d.Networks[0].Endpoints[1].Wire())
	if got := plan.Lost(d, o); len(got) != 2 {
		t.Errorf("lost %v, want what had joined and what was never made", got)
	}
}

func TestAddEndpoint(t *testing.T) {
	d := desired(t)
	n := d.Networks[0]
	var b strings.Builder
	for _, e := range n.Endpoints {
		e.Joined = false
		fmt.Fprintf(&b, "# %s\n%s", e.Role, printed(plan.AddEndpoint(n.Network, e, plan.Observed{})))
		there := plan.Observed{Links: map[string]plan.Link{e.Wire(): {Name: e.Wire(), Owner: e.Owner, ID: e.ID}}}
		fmt.Fprintf(&b, "# %s, its wire is there\n%s", e.Role, printed(plan.AddEndpoint(n.Network, e, there)))
	}
	golden.Check(t, *update, "add-endpoint.txt", b.String())
}

func TestRemove(t *testing.T) {
	d := desired(t)
	n := d.Networks[0]
	var b strings.Builder
	for _, e := range n.Endpoints {
		fmt.Fprintf(&b, "# %s\n%s", e.Role, printed(plan.RemoveEndpoint(n.Network, e.Endpoint)))
	}
	fmt.Fprintf(&b, "# network\n%s", printed(plan.RemoveNetwork(n.Network, d.Features)))
	golden.Check(t, *update, "remove.txt", b.String())
}

// TestOrphans: what carries the owner's mark and belongs to nothing goes; what is another owner's, or nobody's, stays.
func TestOrphans(t *testing.T) {
	d := desired(t)
	o := settled(d)
	if got := plan.Orphans(d, o); len(got) > 0 {
		t.Errorf("a settled kernel has orphans:\n%s", printed(got))
	}
	for _, l := range []plan.Link{
		{Name: "mcpwd0000000000", Owner: topology.OwnerDocker, ID: "left"}, {Name: "mcp-left", Owner: topology.OwnerDocker, ID: "left"},
		{Name: "mcpwc0000000000", Owner: topology.OwnerCNI, ID: "theirs"}, {Name: "mcp-theirs", Owner: topology.OwnerCNI, ID: "theirs"},
		{Name: "mcpwd1111111111"}, {Name: "docker0"}, {Name: "eth0"},
	} {
		o.Links[l.Name] = l
	}
	for _, chain := range []string{"in-mcpwd0000000000", "in-mcpwd2222222222", "in-mcpwc0000000000", "in-eth0", "DOCKER-MCP.mcp-theirs", "foreign"} {
		o.Chains[firewall.NetDev][chain] = []string{"x"}
	}
	first := printed(plan.Orphans(d, o))
	golden.Check(t, *update, "orphans.txt", first)
	for range 5 {
		if again := printed(plan.Orphans(d, o)); again != first {
			t.Fatalf("another order:\n%s", again)
		}
	}
	for _, theirs := range []string{"mcpwc", "mcp-theirs", "mcpwd1111111111", "docker0", "eth0", "foreign", "mcp-secure"} {
		if strings.Contains(first, theirs) {
			t.Errorf("touches %s:\n%s", theirs, first)
		}
	}
	d.Owner = topology.OwnerNetavark
	d.Networks = nil
	if got := plan.Orphans(d, o); len(got) > 0 {
		t.Errorf("another owner's orphans:\n%s", printed(got))
	}
}

// TestManyGuards: a plan for a thousand endpoints stays readable.
func TestManyGuards(t *testing.T) {
	d := desired(t)
	n := &d.Networks[0]
	for i := range 50 {
		n.Endpoints = append(n.Endpoints, endpoint(n.Network, fmt.Sprint(i), fmt.Sprintf("172.20.100.%d", i+1), topology.RoleServer, true))
	}
	o := settled(d)
	for _, name := range slices.Collect(maps.Keys(o.Chains[firewall.NetDev])) {
		if strings.HasPrefix(name, "in-") {
			delete(o.Chains[firewall.NetDev], name)
		}
	}
	if got := printed(plan.Diff(d, o)); strings.Count(got, "\n") != 1 || !strings.Contains(got, "and 51 more") {
		t.Errorf("got:\n%s", got)
	}
}
