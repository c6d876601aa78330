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

// The kinds of kernels.
var (
	prefixed = firewall.Features{DevicePrefix: true}
	older    = firewall.Features{}
)

func network(t testing.TB, options map[string]string) topology.Network {
	t.Helper()
	all := map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:8080"}
	maps.Copy(all, options)
	p, err := policy.Parse(all)
	if err != nil {
		t.Fatal(err)
	}
	return topology.Network{ID: "4f2a9c1e", Name: "mcp", Owner: topology.OwnerDocker, Bridge: "mcp-secure",
		Subnet: netip.MustParsePrefix("172.20.0.0/16"), BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
}

// Endpoints of a desired network: two servers, the second not joined, a gateway and a candidate.
const (
	serverA, serverB, gateway, candidate = 0, 1, 2, 3
)

func desired(t testing.TB, options map[string]string) plan.Network {
	t.Helper()
	n := network(t, options)
	return plan.Network{Network: n, Endpoints: []plan.Endpoint{
		endpoint(n, "a", "172.20.240.1", topology.RoleServer, true), endpoint(n, "b", "172.20.240.2",
			topology.RoleServer, false),
		endpoint(n, "g", "172.20.0.100", topology.RoleGateway, true), endpoint(n, "c", "172.20.0.101",
			topology.RoleCandidate, true)}}
}

func endpoint(n topology.Network, id, ip string, role topology.Role, joined bool) plan.Endpoint {
	a := netip.MustParseAddr(ip)
	return plan.Endpoint{Joined: joined, Endpoint: topology.Endpoint{ID: id, NetworkID: n.ID, Owner: n.Owner,
		Role: role, IP: a,
		MAC: topology.MACFor(n.ID, a)}}
}

var hostAddr = netip.MustParseAddr("198.51.100.1")

// bare is a host without anything of mcpnet's.
func bare() plan.Observed {
	return plan.Observed{Host: plan.HostState{Addrs: []netip.Addr{hostAddr}, Forwards: true,
		IPTables: map[string]bool{},
		Links: map[string]plan.Link{"eth0": {Name: "eth0", Up: true,
			Addrs: []netip.Prefix{netip.PrefixFrom(hostAddr, 32)}}}, Chains: map[firewall.Family]map[string][]string{}}}
}

// settled is a kernel that holds everything desired.
func settled(n plan.Network, f firewall.Features) plan.Observed {
	o := bare()
	o.Exists, o.Prepared, o.Links, o.Uplink = true, true, map[string]plan.Link{}, n.HasUplink()
	o.Chains, o.Elements = map[firewall.Family]map[string][]string{}, map[string]map[string]string{}
	rules := firewall.CompileNetwork(n.Network, f)
	hold(o.Chains, rules.Chains...)
	for _, set := range rules.Sets {
		o.Elements[set.Name] = map[string]string{}
		for _, e := range set.Elements {
			o.Elements[set.Name][e.KeyText()] = e.Data
		}
	}
	mark := topology.Mark{Owner: n.Owner, ID: n.ID, Store: "c0ffee"}
	o.Links[n.Bridge] = plan.Link{Name: n.Bridge, Type: "bridge", Up: true, Mark: mark, MTU: n.Policy.MTU,
		Settings: topology.SettingsQuiet}
	o.Links[topology.Router] = plan.Link{Name: topology.Router, Type: "veth", Up: true, MAC: n.RouterMAC().String(),
		Mark: mark, MTU: n.Policy.MTU, Settings: topology.SettingsRouter, NoARP: true,
		Addrs: []netip.Prefix{n.RouterPrefix()}}
	o.Links[topology.RouterPort] = plan.Link{Name: topology.RouterPort, Type: "veth", Up: true, Mark: mark,
		MTU: n.Policy.MTU, Settings: topology.SettingsQuiet}
	for i, e := range n.Endpoints {
		settle(o, n, e, f, 10+i)
	}
	if n.HasUplink() {
		o.Elements[firewall.SetHost][hostAddr.String()] = ""
		o.Host.IPTables[n.Uplink()] = true
		o.Host.Firewalld = &plan.Firewalld{Prepared: true, Zones: map[string]string{n.Uplink(): topology.FirewallZone}}
		o.Host.Links[n.Uplink()] = plan.Link{Name: n.Uplink(), Type: "veth", Up: true, Mark: mark}
		hold(o.Host.Chains, firewall.CompileHost(n.Network).Chains...)
	}
	return o
}

// settle puts an endpoint into what is observed.
func settle(o plan.Observed, n plan.Network, e plan.Endpoint, f firewall.Features, index int) {
	g := firewall.CompileEndpoint(n.Network, e.Endpoint, f)
	if g.Chain.Name != "" {
		hold(o.Chains, g.Chain)
	}
	for _, element := range g.Elements {
		o.Elements[element.Set.Name][element.KeyText()] = element.Data
	}
	l := wireOf(n.Network, e)
	l.Up, l.Index = e.Joined, index
	if e.Role == topology.RoleGateway {
		l.Master, l.Isolated = n.Bridge, true
	}
	o.Links[l.Name] = l
}

// wireOf is an endpoint's wire as it is made.
func wireOf(n topology.Network, e plan.Endpoint) plan.Link {
	return plan.Link{Name: e.Wire(), Type: "veth", Group: e.Group(), MTU: n.Policy.MTU, MAC: e.PortMAC().String(),
		Settings: topology.SettingsQuiet, Mark: topology.Mark{Owner: e.Owner, ID: e.ID, Store: "c0ffee"}}
}

func hold(held map[firewall.Family]map[string][]string, chains ...firewall.Chain) {
	for _, c := range chains {
		var ids []string
		for _, r := range c.Rules {
			if r.Log {
				ids = append(ids, r.ID+"/log")
			}
			ids = append(ids, r.ID)
		}
		if held[c.Family] == nil {
			held[c.Family] = map[string][]string{}
		}
		held[c.Family][c.Name] = ids
	}
}

func printed(steps []plan.Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// change changes a link that was observed.
func change(links map[string]plan.Link, name string, f func(*plan.Link)) {
	l := links[name]
	f(&l)
	links[name] = l
}

// spoiled are networks and what is observed of them, each in another way not as it should be.
var spoiled = map[string]func(n *plan.Network, o *plan.Observed){
	"nothing-there": func(_ *plan.Network, o *plan.Observed) { *o = bare() },
	"not-joined": func(n *plan.Network, o *plan.Observed) {
		*o = bare()
		for i := range n.Endpoints {
			n.Endpoints[i].Joined = false
		}
	},
	"flushed": func(_ *plan.Network, o *plan.Observed) {
		o.Chains, o.Elements = map[firewall.Family]map[string][]string{}, map[string]map[string]string{}
	},
	"rule-lost": func(_ *plan.Network, o *plan.Observed) {
		o.Chains[firewall.NetDev]["DOCKER-MCP"] = o.Chains[firewall.NetDev]["DOCKER-MCP"][1:]
	},
	"rule-added": func(_ *plan.Network, o *plan.Observed) {
		o.Chains[firewall.Inet]["MCP-INPUT"] = append([]string{""}, o.Chains[firewall.Inet]["MCP-INPUT"]...)
	},
	"chain-lost":     func(_ *plan.Network, o *plan.Observed) { delete(o.Chains[firewall.Inet], "MCP-FORWARD") },
	"policy-element": func(_ *plan.Network, o *plan.Observed) { o.Elements["permitted-tcp"]["172.20.0.100 . 22"] = "" },
	"policy-lost":    func(_ *plan.Network, o *plan.Observed) { delete(o.Elements["gateway-mac"], "172.20.0.100") },
	"policy-changed": func(_ *plan.Network, o *plan.Observed) {
		o.Elements["gateway-mac"]["172.20.0.100"] = "02:00:00:00:00:09"
	},
	"bridge-down": func(_ *plan.Network, o *plan.Observed) {
		change(o.Links, "mcp-secure", func(l *plan.Link) { l.Up = false })
	},
	"router-lost": func(_ *plan.Network, o *plan.Observed) {
		delete(o.Links, topology.Router)
		delete(o.Links, topology.RouterPort)
	},
	"router-down": func(_ *plan.Network, o *plan.Observed) {
		change(o.Links, topology.Router, func(l *plan.Link) { l.Up = false })
	},
	"router-port": func(_ *plan.Network, o *plan.Observed) {
		change(o.Links, topology.RouterPort, func(l *plan.Link) { l.Up = false })
	},
	"router-address": func(_ *plan.Network, o *plan.Observed) {
		change(o.Links, topology.Router, func(l *plan.Link) { l.Addrs = nil })
	},
	"router-hardware": func(_ *plan.Network, o *plan.Observed) {
		change(o.Links, topology.Router, func(l *plan.Link) { l.MAC = "" })
	},
	"namespace-settings": func(_ *plan.Network, o *plan.Observed) { o.Prepared = false },
	"bridge-changed": func(_ *plan.Network, o *plan.Observed) {
		change(o.Links, "mcp-secure", func(l *plan.Link) { l.Settings = topology.SettingsOther })
	},
	"router-arp": func(_ *plan.Network, o *plan.Observed) {
		change(o.Links, topology.Router, func(l *plan.Link) { l.NoARP = false })
	},
	"server-on-bridge": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[serverA].Wire(), func(l *plan.Link) { l.Master = "mcp-secure" })
	},
	"candidate-on-bridge": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[candidate].Wire(), func(l *plan.Link) { l.Master = "mcp-secure" })
	},
	"port-not-isolated": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[gateway].Wire(), func(l *plan.Link) { l.Isolated = false })
	},
	"wire-changed": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[serverA].Wire(), func(l *plan.Link) { l.Settings = topology.SettingsRouter })
	},
	"bridge-lost": func(n *plan.Network, o *plan.Observed) {
		delete(o.Links, "mcp-secure")
		change(o.Links, n.Endpoints[gateway].Wire(), func(l *plan.Link) { l.Master = "" })
	},
	"wire-down": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[serverA].Wire(), func(l *plan.Link) { l.Up = false })
	},
	"wire-unmade": func(n *plan.Network, o *plan.Observed) { // a killed process left it without its mark
		change(o.Links, n.Endpoints[serverB].Wire(), func(l *plan.Link) { l.Mark = topology.Mark{} })
	},
	"port-released": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[gateway].Wire(), func(l *plan.Link) { l.Master = "" })
	},
	"group-lost": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[gateway].Wire(), func(l *plan.Link) { l.Group = 0 })
	},
	"group-given": func(n *plan.Network, o *plan.Observed) {
		change(o.Links, n.Endpoints[serverA].Wire(), func(l *plan.Link) { l.Group = topology.GroupGateway })
	},
	"promoted": func(n *plan.Network, _ *plan.Observed) { n.Endpoints[candidate].Role = topology.RoleGateway },
	// Of one that joined, which is lost, and of one that did not.
	"wires-gone": func(n *plan.Network, o *plan.Observed) {
		delete(o.Links, n.Endpoints[serverA].Wire())
		delete(o.Links, n.Endpoints[serverB].Wire())
	},
	"element-lost": func(_ *plan.Network, o *plan.Observed) {
		delete(o.Elements["server-wire"], "02:6b:ac:14:f0:01 . 172.20.240.1")
	},
	"element-changed": func(n *plan.Network, o *plan.Observed) { // the neighbour's wire has the server's address
		o.Elements["server-wire"]["02:6b:ac:14:f0:01 . 172.20.240.1"] = n.Endpoints[serverB].Wire()
	},
	"stale": stale,
	"stale-incomplete": func(n *plan.Network, o *plan.Observed) {
		stale(n, o)
		n.Incomplete = true
	},
	"uplink-lost":  func(_ *plan.Network, o *plan.Observed) { o.Uplink = false; delete(o.Host.Links, "mcp-secure") },
	"host-flushed": func(_ *plan.Network, o *plan.Observed) { o.Host.Chains = nil },
	"host-rule-lost": func(_ *plan.Network, o *plan.Observed) {
		o.Host.Chains[firewall.Inet]["forward.mcp-secure"] = nil
	},
	"host-addrs": func(_ *plan.Network, o *plan.Observed) {
		o.Host.Addrs = append(o.Host.Addrs, netip.MustParseAddr("192.0.2.1"))
	},
	"host-addr-stale": func(_ *plan.Network, o *plan.Observed) { o.Elements[firewall.SetHost]["192.0.2.1"] = "" },
	"no-forwarding":   func(_ *plan.Network, o *plan.Observed) { o.Host.Forwards = false },
	"no-iptables":     func(_ *plan.Network, o *plan.Observed) { o.Host.IPTables = nil },
	"iptables-lost":   func(_ *plan.Network, o *plan.Observed) { o.Host.IPTables["mcp-secure"] = false },
	"iptables-left-alone": func(n *plan.Network, o *plan.Observed) {
		n.Policy.Firewall = policy.FirewallNFTables
		o.Host.IPTables["mcp-secure"] = false
	},
	"firewalld-bare": func(_ *plan.Network, o *plan.Observed) { o.Host.Firewalld = &plan.Firewalld{} },
	"firewalld-no-zone": func(_ *plan.Network, o *plan.Observed) {
		o.Host.Firewalld = &plan.Firewalld{Prepared: true, Zones: map[string]string{"eth0": "public"}}
	},
	"firewalld-other-zone": func(_ *plan.Network, o *plan.Observed) { // somebody's decision
		o.Host.Firewalld = &plan.Firewalld{Zones: map[string]string{"mcp-secure": "docker"}}
	},
	"legacy":         legacy,
	"legacy-rules":   func(n *plan.Network, o *plan.Observed) { legacyChains(n, o) }, // all else has moved
	"legacy-foreign": legacyForeign,
}

// stale puts elements that belong to no endpoint: of a container that ended, whose wire is gone, and of somebody who
// gave an endpoint's addresses to another wire, and an endpoint's address to another hardware address.
func stale(n *plan.Network, o *plan.Observed) {
	o.Elements["anti-spoof"]["#77 . 02:6b:ac:14:f0:09 . 172.20.240.9"] = ""
	o.Elements["anti-spoof"][n.Endpoints[serverB].Wire()+" . 02:6b:ac:14:f0:01 . 172.20.240.1"] = ""
	o.Elements["endpoint-mac"]["172.20.240.9"] = "02:6b:ac:14:f0:09"
	o.Elements["server-wire"]["02:00:00:00:00:09 . 172.20.240.1"] = n.Endpoints[serverB].Wire()
}

// legacy is a host where commit 82bb395 had the network: everything stands there, and the namespace is not made yet.
func legacy(n *plan.Network, o *plan.Observed) {
	*o = bare()
	o.Host.Links["mcp-secure"] = plan.Link{Name: "mcp-secure", Type: "bridge", Up: true,
		Mark: topology.Mark{Owner: n.Owner, ID: n.ID}}
	for i, e := range n.Endpoints {
		l := plan.Link{Name: e.LegacyWire(), Type: "veth", Up: e.Joined, Index: 20 + i,
			Mark: topology.Mark{Owner: e.Owner, ID: e.ID}}
		if e.Role == topology.RoleGateway {
			l.Master = "mcp-secure"
		}
		o.Host.Links[l.Name] = l
	}
	legacyChains(n, o)
}

func legacyChains(n *plan.Network, o *plan.Observed) {
	o.Host.Chains[firewall.NetDev] = map[string][]string{"DOCKER-MCP.mcp-secure": {"mcp-secure/gateway-tcp"},
		"in-" + n.Endpoints[serverA].LegacyWire(): {"mcp-secure/ingress"}}
	hold(o.Host.Chains, firewall.Chain{Family: firewall.Inet, Name: "forward",
		Rules: []firewall.Rule{{ID: "wires/forward"}}})
}

// legacyForeign is a host on which other endpoints', networks' and plugins' links and rules have names and kinds of
// ours.
func legacyForeign(n *plan.Network, o *plan.Observed) {
	wire := n.Endpoints[serverA].LegacyWire()
	o.Host.Links[wire] = plan.Link{Name: wire, Type: "veth", Mark: topology.Mark{Owner: n.Owner, ID: "another"}}
	o.Host.Chains[firewall.NetDev] = map[string][]string{"DOCKER-MCP.mcp-secure2": {"mcp-secure2/gateway-tcp"},
		"others": {""}}
}

func TestDiff(t *testing.T) {
	for name, spoil := range spoiled {
		t.Run(name, func(t *testing.T) {
			n := desired(t, nil)
			o := settled(n, prefixed)
			spoil(&n, &o)
			golden.Check(t, *update, "diff-"+name+".txt", printed(plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o)))
		})
	}
}

// TestSettled: what is as it should be is left alone, on every kernel and under every policy.
func TestSettled(t *testing.T) {
	for _, f := range []firewall.Features{prefixed, older} {
		for _, options := range []map[string]string{nil, {policy.KeyEgress: "off"}, {policy.KeyConnect: "off"},
			{policy.KeyMode: "audit"},
			{policy.KeyCapsMode: "enforce"}, {policy.KeyLog: "off"}, {policy.KeyFirewall: "nftables"}} {
			n := desired(t, options)
			if got := plan.Diff(n, firewall.CompileNetwork(n.Network, f), settled(n, f)); len(got) > 0 {
				t.Errorf("%v %v:\n%s", f, options, printed(got))
			}
			if got := plan.Orphans(n, settled(n, f), nobody); len(got) > 0 {
				t.Errorf("%v %v: orphans:\n%s", f, options, printed(got))
			}
		}
	}
}

func nobody(string) bool { return false }

// TestSpoiledIsNoticed: each of the ways to be not as it should be is seen, but for those that are none.
func TestSpoiledIsNoticed(t *testing.T) {
	none := []string{"no-iptables", "firewalld-other-zone", "iptables-left-alone", "legacy-foreign", "stale-incomplete"}
	for name, spoil := range spoiled {
		n := desired(t, nil)
		o := settled(n, prefixed)
		spoil(&n, &o)
		if steps := plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o); (len(steps) == 0) != slices.Contains(none, name) {
			t.Errorf("%s:\n%s", name, printed(steps))
		}
	}
}

// TestStrays: of the zone of uplinks goes what is gone from the host; other zones, and what is there, are left alone.
func TestStrays(t *testing.T) {
	h := settled(desired(t, nil), prefixed).Host
	if got := plan.Strays(h); len(got) > 0 {
		t.Errorf("nothing is gone:\n%s", printed(got))
	}
	delete(h.Links, "mcp-secure")
	h.Firewalld.Zones["wlan0"] = "home"
	if got := printed(plan.Strays(h)); got != "host: firewalld: take uplink mcp-secure out of zone mcpnet\n" {
		t.Errorf("the uplink is gone:\n%s", got)
	}
	h.Firewalld = nil
	if got := plan.Strays(h); len(got) > 0 {
		t.Errorf("without firewalld:\n%s", printed(got))
	}
}

// TestDiffChains: where each wire has a chain of its own, it is missed like its elements; that of all wires is not
// asked for.
func TestDiffChains(t *testing.T) {
	for name, spoil := range map[string]func(n *plan.Network, o *plan.Observed){
		"chain-of-a-wire-lost": func(n *plan.Network, o *plan.Observed) {
			delete(o.Chains[firewall.NetDev], "in-"+n.Endpoints[serverA].Wire())
		},
		"chain-of-a-wire-changed": func(n *plan.Network, o *plan.Observed) {
			o.Chains[firewall.NetDev]["in-"+n.Endpoints[candidate].Wire()] = []string{""}
		},
		"chains-nothing-there": func(_ *plan.Network, o *plan.Observed) { *o = bare() },
	} {
		t.Run(name, func(t *testing.T) {
			n := desired(t, nil)
			o := settled(n, older)
			spoil(&n, &o)
			golden.Check(t, *update, "diff-"+name+".txt", printed(plan.Diff(n, firewall.CompileNetwork(n.Network, older), o)))
		})
	}
	n := desired(t, nil)
	o := settled(n, prefixed)
	delete(o.Chains[firewall.NetDev], "MCP-INGRESS")
	if got := printed(plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o)); got != "namespace mcp-secure: load nftables rules\n" {
		t.Errorf("the chain of all wires is lost:\n%s", got)
	}
}

// TestUplinkOff: a network that has nothing beyond it any more loses its uplink and everything about it; what is
// another's stays.
func TestUplinkOff(t *testing.T) {
	n := desired(t, map[string]string{policy.KeyEgress: "off"})
	with := desired(t, nil)
	o := settled(n, prefixed)
	o.Host = settled(with, prefixed).Host
	golden.Check(t, *update, "uplink-off.txt", printed(plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o)))
	for what, spoil := range map[string]func(*plan.Link){
		"another network's": func(l *plan.Link) { l.Mark.ID = "another" },
		"nobody's":          func(l *plan.Link) { l.Mark = topology.Mark{} },
		"a bridge":          func(l *plan.Link) { l.Type = "dummy" },
	} {
		change(o.Host.Links, "mcp-secure", spoil)
		if got := plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o); len(got) > 0 {
			t.Errorf("%s:\n%s", what, printed(got))
		}
		o.Host = settled(with, prefixed).Host
	}
}

// TestUplinkOn: a network whose policy has egress from now on gets its uplink with its rules.
func TestUplinkOn(t *testing.T) {
	n := desired(t, nil)
	o := settled(desired(t, map[string]string{policy.KeyEgress: "off"}), prefixed)
	o.Host.Forwards = false
	golden.Check(t, *update, "uplink-on.txt", printed(plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o)))
}

// position is where the first step stands whose action is of a type.
func position[A plan.Action](steps []plan.Step) int {
	return slices.IndexFunc(steps, func(s plan.Step) bool { _, ok := s.Action.(A); return ok })
}

// TestOrder: on the way in every rule stands before a link comes up, and the uplink comes last.
func TestOrder(t *testing.T) {
	for name, spoil := range spoiled {
		n := desired(t, nil)
		o := settled(n, prefixed)
		spoil(&n, &o)
		steps := plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o)
		up := position[plan.SetUp](steps)
		before := map[string]int{"namespace": position[plan.CreateNamespace](steps),
			"router": position[plan.EnsureRouter](steps),
			"rules":  position[plan.LoadRules](steps), "wire": position[plan.AddWire](steps),
			"guard": position[plan.AddGuard](steps)}
		for what, at := range before {
			if uplink := position[plan.EnsureUplink](steps); (up >= 0 && at > up) || (uplink >= 0 && at > uplink) {
				t.Errorf("%s: %s comes too late:\n%s", name, what, printed(steps))
			}
		}
		for _, pair := range [][2]int{{before["namespace"], before["rules"]}, {before["router"], before["rules"]},
			{before["rules"], before["guard"]},
			{before["wire"], before["guard"]}, {position[plan.SetHostAddrs](steps), position[plan.EnsureUplink](steps)},
			{position[plan.LoadHostRules](steps), position[plan.EnsureUplink](steps)},
			{position[plan.MoveWire](steps), position[plan.DeleteLink](steps)}, {position[plan.DeleteLink](steps),
				position[plan.EnsureUplink](steps)}} {
			if pair[0] >= 0 && pair[1] >= 0 && pair[0] > pair[1] {
				t.Errorf("%s: order:\n%s", name, printed(steps))
			}
		}
		for _, s := range steps {
			link, ok := s.Action.(plan.SetUp)
			if i := slices.IndexFunc(n.Endpoints, func(e plan.Endpoint) bool { return e.Wire() == link.Link }); ok &&
				!n.Endpoints[i].Joined {
				t.Errorf("%s: %s comes up without having joined", name, link.Link)
			}
		}
	}
}

// TestRouterTakesRulesAlong: rules name the router's port, so that they are loaded again with each new one.
func TestRouterTakesRulesAlong(t *testing.T) {
	for name, spoil := range spoiled {
		n := desired(t, nil)
		o := settled(n, prefixed)
		spoil(&n, &o)
		steps := plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o)
		if made := max(position[plan.EnsureRouter](steps), position[plan.CreateNamespace](steps)); made >= 0 &&
			position[plan.LoadRules](steps) < made {
			t.Errorf("%s:\n%s", name, printed(steps))
		}
	}
}

// TestStaleIndex: an element of a wire that is there is dropped by the wire's index, since another has the same
// addresses.
func TestStaleIndex(t *testing.T) {
	n := desired(t, nil)
	o := settled(n, prefixed)
	stale(&n, &o)
	steps := plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o)
	drop, ok := steps[position[plan.DropElements](steps)].Action.(plan.DropElements)
	if wire := n.Endpoints[serverB].Wire(); !ok || len(drop.Elements) != 4 || len(drop.Index) != 1 ||
		drop.Index[wire] != 11 {
		t.Errorf("%+v", drop)
	}
	for _, e := range drop.Elements {
		if e.KeyText() == n.Endpoints[serverA].Wire()+" . 02:6b:ac:14:f0:01 . 172.20.240.1" {
			t.Error("the living endpoint's own element goes")
		}
	}
}

// TestStaleKeepsWhatRulesFill: connections, the host's addresses and the policy's own elements belong to no endpoint,
// and stay.
func TestStaleKeepsWhatRulesFill(t *testing.T) {
	n := desired(t, nil)
	o := settled(n, prefixed)
	o.Elements["flows"]["172.20.240.1 . 3000 . 172.20.0.100 . 50000"] = ""
	o.Elements["closing"]["172.20.240.1 . 3000 . 172.20.0.100 . 50001"] = ""
	if got := plan.Diff(n, firewall.CompileNetwork(n.Network, prefixed), o); len(got) > 0 {
		t.Errorf("got:\n%s", printed(got))
	}
}

func TestLost(t *testing.T) {
	n := desired(t, nil)
	o := settled(n, prefixed)
	if got := plan.Lost(n, o); len(got) > 0 {
		t.Errorf("lost %v", got)
	}
	a, b := n.Endpoints[serverA], n.Endpoints[serverB]
	delete(o.Links, a.Wire())
	delete(o.Links, b.Wire())
	if got := plan.Lost(n, o); len(got) != 2 {
		t.Errorf("lost %v, want what had joined and what was never made", got)
	}
	o.Host.Links[a.LegacyWire()] = plan.Link{Name: a.LegacyWire(), Mark: topology.Mark{Owner: a.Owner, ID: a.ID}}
	o.Host.Links[b.LegacyWire()] = plan.Link{Name: b.LegacyWire(), Mark: topology.Mark{Owner: b.Owner, ID: "another"}}
	if got := plan.Lost(n, o); len(got) != 1 || got[0].ID != "b" {
		t.Errorf("lost %v, want the one whose wire is not on the host either", got)
	}
}

// TestSettingsAreCompared: each single thing that a link is made with is noticed when it is another.
func TestSettingsAreCompared(t *testing.T) {
	n := desired(t, nil)
	rules := firewall.CompileNetwork(n.Network, prefixed)
	all := []string{"mcp-secure", topology.Router, topology.RouterPort}
	for _, e := range n.Endpoints {
		all = append(all, e.Wire())
	}
	for what, spoil := range map[string]func(*plan.Link){
		"mark":      func(l *plan.Link) { l.Mark.ID = "another" },
		"owner":     func(l *plan.Link) { l.Mark.Owner = topology.OwnerCNI },
		"mtu":       func(l *plan.Link) { l.MTU++ },
		"settings":  func(l *plan.Link) { l.Settings = topology.SettingsUplink },
		"addresses": func(l *plan.Link) { l.Addrs = append(l.Addrs, netip.MustParsePrefix("192.0.2.1/24")) },
		"master":    func(l *plan.Link) { l.Master = "br0" },
	} {
		for _, name := range all {
			o := settled(n, prefixed)
			change(o.Links, name, spoil)
			if len(plan.Diff(n, rules, o)) == 0 {
				t.Errorf("%s of %s is not compared", what, name)
			}
		}
	}
	for _, e := range n.Endpoints {
		o := settled(n, prefixed)
		change(o.Links, e.Wire(), func(l *plan.Link) { l.MAC = "02:00:00:00:00:09" })
		if len(plan.Diff(n, rules, o)) == 0 {
			t.Errorf("hardware address of a %s's wire is not compared", e.Role)
		}
	}
}
