package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/golden"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func TestAddEndpoint(t *testing.T) {
	n := desired(t, nil)
	var b strings.Builder
	for _, e := range n.Endpoints {
		e.Joined = false
		fmt.Fprintf(&b, "# %s\n%s", e.Role, printed(plan.AddEndpoint(n.Network, e, prefixed,
			plan.Observed{Exists: true})))
		wire := wireOf(n.Network, e)
		wire.Index = 7
		there := plan.Observed{Exists: true, Links: map[string]plan.Link{e.Wire(): wire}}
		fmt.Fprintf(&b, "# %s, its wire is there\n%s", e.Role, printed(plan.AddEndpoint(n.Network, e, prefixed, there)))
	}
	golden.Check(t, *update, "add-endpoint.txt", b.String())
}

// TestAddEndpointAlone: an attach looks at its own wire alone, and drops nothing of anybody.
func TestAddEndpointAlone(t *testing.T) {
	n := desired(t, nil)
	o := settled(n, prefixed)
	stale(&n, &o)
	for _, e := range n.Endpoints {
		for _, s := range plan.AddEndpoint(n.Network, e, prefixed, o) {
			t.Errorf("%s: %s", e.Role, s)
		}
	}
}

func TestAttach(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct {
		what    string
		options map[string]string
		adopted bool
	}{{"with egress", nil, false}, {"without egress", map[string]string{policy.KeyEgress: "off"}, false}, {"adopted",
		nil, true}} {
		n := desired(t, c.options)
		n.Chained = c.adopted
		for _, i := range []int{serverA, gateway} {
			e := n.Endpoints[i].Endpoint
			e.Interface = "eth0"
			a := plan.Attachment{Endpoint: e, Sandbox: "/run/netns/pod", Port: "veth1234"}
			fmt.Fprintf(&b, "# %s %s\n%s", e.Role, c.what, printed(plan.Attach(n.Network, a, prefixed)))
		}
	}
	golden.Check(t, *update, "attach.txt", b.String())
}

// TestPeerRoutes: a gateway has a default route where it has egress, and no route where it has none.
func TestPeerRoutes(t *testing.T) {
	on, off := desired(t, nil), desired(t, map[string]string{policy.KeyEgress: "off"})
	routes := func(n plan.Network, i int) []topology.Route {
		return plan.Peer(n.Network, plan.Attachment{Endpoint: n.Endpoints[i].Endpoint}).Routes
	}
	if got := routes(on, gateway); len(got) != 1 || got[0].Dst.Bits() != 0 || got[0].Via != on.BridgeAddr {
		t.Errorf("with egress: %v", got)
	}
	if got := routes(off, gateway); len(got) > 0 {
		t.Errorf("without egress: %v", got)
	}
	for _, r := range append(routes(on, serverA), routes(off, serverA)...) {
		if !slices.Contains(on.Policy.GatewayAddrs(), r.Dst.Addr()) || !r.Dst.IsSingleIP() {
			t.Errorf("a server has a route to %s", r.Dst)
		}
	}
}

// TestAttachOrder: the wire comes up last. Before, its guard stands, the container has its addresses, and a gateway is
// a port.
func TestAttachOrder(t *testing.T) {
	for _, f := range []firewall.Features{prefixed, older} {
		for _, chained := range []bool{false, true} {
			for _, i := range []int{serverA, gateway} {
				n := desired(t, nil)
				n.Chained = chained
				e := n.Endpoints[i].Endpoint
				steps := plan.Attach(n.Network, plan.Attachment{Endpoint: e, Sandbox: "/run/netns/pod", Port: "veth1234"}, f)
				at := []int{max(position[plan.AddWire](steps), position[plan.MoveWire](steps)), position[plan.AddGuard](steps),
					position[plan.SetPeer](steps), position[plan.SetUp](steps)}
				if e.Role == topology.RoleGateway {
					at = slices.Insert(at, 2, position[plan.Enslave](steps))
				}
				if !slices.IsSorted(at) || at[0] != 0 || at[len(at)-1] != len(steps)-1 {
					t.Errorf("%s, chained %v: order:\n%s", e.Role, chained, printed(steps))
				}
			}
		}
	}
}

func TestRemove(t *testing.T) {
	var b strings.Builder
	for _, c := range []struct {
		what    string
		options map[string]string
		adopted bool
	}{{"with egress", nil, false}, {"without egress", map[string]string{policy.KeyEgress: "off"}, false},
		{"without iptables", map[string]string{policy.KeyFirewall: "nftables"}, false}, {"adopted", nil, true}} {
		n := desired(t, c.options)
		n.Chained = c.adopted
		fmt.Fprintf(&b, "# network %s\n%s", c.what, printed(plan.Remove(n.Network)))
		for _, e := range n.Endpoints {
			fmt.Fprintf(&b, "# %s %s\n%s", e.Role, c.what, printed(plan.RemoveEndpoint(n.Network, e.Endpoint, prefixed,
				7)))
		}
	}
	golden.Check(t, *update, "remove.txt", b.String())
}

// TestRemoveEndpointGuard: what goes with an endpoint is all that came with it, by the index that its wire had.
func TestRemoveEndpointGuard(t *testing.T) {
	n := desired(t, nil)
	for _, f := range []firewall.Features{prefixed, older} {
		for _, e := range n.Endpoints {
			steps := plan.RemoveEndpoint(n.Network, e.Endpoint, f, 7)
			drop, ok := steps[len(steps)-1].Action.(plan.DropGuard)
			want := firewall.CompileEndpoint(n.Network, e.Endpoint, f)
			if !ok || drop.Index != 7 || len(drop.Guard.Elements) != len(want.Elements) ||
				drop.Guard.Chain.Name != want.Chain.Name {
				t.Errorf("%s: %+v", e.Role, drop)
			}
		}
	}
}

// TestOrphans: what of a network's namespace belongs to no endpoint goes; what nobody can say of stays, and so does
// what is no endpoint's.
func TestOrphans(t *testing.T) {
	n := desired(t, nil)
	o := settled(n, older)
	for _, l := range []plan.Link{
		{Name: "mcpw00000000000", Mark: topology.Mark{Owner: topology.OwnerDocker, ID: "left"}},
		{Name: "mcpw11111111111"}, // a killed process left it without its mark
		{Name: "mcpw22222222222", Mark: topology.Mark{Owner: topology.OwnerDocker, ID: "unknown"}},
		{Name: "eth0"}, {Name: "mcp-uplink"},
	} {
		o.Links[l.Name] = l
	}
	for _, chain := range []string{"in-mcpw00000000000", "in-mcpw22222222222", "in-mcpw33333333333", "foreign"} {
		o.Chains[firewall.NetDev][chain] = []string{"x"}
	}
	keep := func(id string) bool { return id == "unknown" }
	first := printed(plan.Orphans(n, o, keep))
	golden.Check(t, *update, "orphans.txt", first)
	for range 5 {
		if again := printed(plan.Orphans(n, o, keep)); again != first {
			t.Fatalf("another order:\n%s", again)
		}
	}
	for _, kept := range []string{"mcpw22222222222", "eth0", "foreign", "mcp-router", "mcp-rport", "mcp-uplink",
		"link mcp-secure"} {
		if strings.Contains(first, kept) {
			t.Errorf("touches %s:\n%s", kept, first)
		}
	}
	n.Incomplete = true
	if got := plan.Orphans(n, o, keep); len(got) > 0 {
		t.Errorf("of a network with endpoints that nobody knows:\n%s", printed(got))
	}
}

// TestManyGuards: a plan for a thousand endpoints stays readable.
func TestManyGuards(t *testing.T) {
	n := desired(t, nil)
	for i := range 50 {
		n.Endpoints = append(n.Endpoints, endpoint(n.Network, fmt.Sprint(i), fmt.Sprintf("172.20.100.%d", i+1),
			topology.RoleServer, true))
	}
	o := settled(n, older)
	for name := range o.Chains[firewall.NetDev] {
		if strings.HasPrefix(name, "in-") {
			delete(o.Chains[firewall.NetDev], name)
		}
	}
	got := printed(plan.Diff(n, firewall.CompileNetwork(n.Network, older), o))
	if strings.Count(got, "\n") != 1 || !strings.Contains(got, "and 51 more") {
		t.Errorf("got:\n%s", got)
	}
	steps := plan.Diff(n, firewall.CompileNetwork(n.Network, older), o)
	guards := steps[0].Action.(plan.AddGuard)
	wires := slices.IndexFunc(guards.Guards, func(g firewall.Guard) bool { return guards.Index[g.Wire] == 0 })
	if wires >= 0 {
		t.Errorf("the index of %s, which was observed, is not given", guards.Guards[wires].Wire)
	}
}
