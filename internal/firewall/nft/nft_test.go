package nft_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// bench is a namespace with the rules of one network and as many wires as a test asks for.
type bench struct {
	t        *testing.T
	ns       *testnet.NS
	nft      *nft.Firewall
	net      topology.Network
	features firewall.Features
	rules    firewall.Ruleset
}

// The two kinds of kernels: with one ingress chain for all wires, and with one for each.
var (
	prefixed = firewall.Features{DevicePrefix: true}
	older    = firewall.Features{}
)

// forKernels runs a test as on each kind of kernel. Any kernel can do what an older one does.
func forKernels(t *testing.T, test func(t *testing.T, b *bench)) {
	for name, features := range map[string]firewall.Features{"prefix": prefixed, "chains": older} {
		t.Run(name, func(t *testing.T) { test(t, newBench(t, features)) })
	}
}

func newBench(t *testing.T, features firewall.Features) *bench {
	t.Helper()
	b := &bench{t: t, ns: testnet.New(t, "nft"), features: features}
	b.nft = openNFT(t, b.ns)
	needs(t, b.nft, features)
	b.ns.Run("ip", "link", "add", topology.Router, "type", "veth", "peer", "name", topology.RouterPort)
	b.net = networkFor(t, "172.20.0.100:8080")
	b.rules = firewall.CompileNetwork(b.net, features)
	return b
}

// needs ends a test for kernels that this one is not.
func needs(t *testing.T, f *nft.Firewall, features firewall.Features) {
	t.Helper()
	takes, err := f.TakesPrefix()
	check(t, err)
	if features.DevicePrefix && !takes {
		testnet.Lacks(t, "ingress-by-prefix", "the kernel takes no chain for devices of a prefix")
	}
}

func networkFor(t *testing.T, gateways string) topology.Network {
	t.Helper()
	p, err := policy.Parse(map[string]string{"mcpnet.gateway": gateways})
	check(t, err)
	return topology.Network{ID: "4f2a9c1e", Owner: topology.OwnerDocker, Bridge: "mcp-secure",
		Subnet:     netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
}

func (b *bench) load() { b.t.Helper(); check(b.t, b.nft.Load(b.t.Context(), b.rules)) }

// listing is everything that the nft command shows. Before 1.1.6 it cannot list a chain for a prefix, and lists the
// rest forever where it should list the rules beside it: rules are shown by their ids there.
func (b *bench) listing() string {
	b.t.Helper()
	if !b.features.DevicePrefix {
		return b.ns.Run("nft", "-s", "list", "ruleset")
	}
	var all strings.Builder
	for _, what := range []string{"chains", "sets", "maps"} {
		all.WriteString(b.ns.Run("nft", "-s", "list", what))
	}
	state, err := b.nft.Observe(nil, nil)
	check(b.t, err)
	if len(state.Chains[firewall.NetDev]) > 0 {
		fmt.Fprintln(&all, state.Chains)
	}
	return all.String()
}

// names are those of the namespace's links, by index.
func (b *bench) names() map[int]string {
	b.t.Helper()
	links, err := b.ns.Handle().LinkList()
	check(b.t, err)
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names
}

func (b *bench) observe() nft.State {
	b.t.Helper()
	s, err := b.nft.Observe(b.rules.Sets, b.names())
	check(b.t, err)
	return s
}

// servers makes wires for servers, and gives their guards.
func (b *bench) servers(first, count int) []nft.Guard {
	b.t.Helper()
	var endpoints []topology.Endpoint
	for i := first; i < first+count; i++ {
		endpoints = append(endpoints, b.server(i))
	}
	return b.wires(endpoints...)
}

// wires makes the wires of endpoints, and gives their guards.
func (b *bench) wires(endpoints ...topology.Endpoint) (guards []nft.Guard) {
	b.t.Helper()
	var links strings.Builder
	for _, e := range endpoints {
		fmt.Fprintf(&links, "link add %s type veth peer name %s\n", e.Wire(), e.Peer())
	}
	b.ns.RunInput(links.String(), "ip", "-batch", "-")
	for _, e := range endpoints {
		guards = append(guards, nft.Guard{Guard: firewall.CompileEndpoint(b.net, e, b.features),
			Index: b.index(e.Wire())})
	}
	return guards
}

func (b *bench) index(link string) int { b.t.Helper(); return b.ns.Link(link).Attrs().Index }

func (b *bench) server(i int) topology.Endpoint {
	return b.endpoint(fmt.Sprintf("server-%d", i), fmt.Sprintf("172.20.%d.%d", 100+i/200, 1+i%200), topology.RoleServer)
}

func (b *bench) endpoint(id, ip string, role topology.Role) topology.Endpoint {
	a := netip.MustParseAddr(ip)
	return topology.Endpoint{ID: id, Owner: topology.OwnerDocker, NetworkID: b.net.ID, Role: role, IP: a,
		MAC: topology.MACFor(b.net.ID, a)}
}

// TestFeatures: what is found of the kernel agrees with its version, and finding it leaves nothing. What the nft
// command cannot list is not used.
func TestFeatures(t *testing.T) {
	in := testnet.New(t, "nft")
	f := openNFT(t, in)
	takes, err := f.TakesPrefix()
	check(t, err)
	if want := slices.Compare(versionOf(t, in.Run("uname", "-r"), "%d.%d"), []int{6, 16}) >= 0; takes != want {
		t.Errorf("Linux %s: %v", in.Run("uname", "-r"), takes)
	}
	found, err := f.Features(t.Context())
	check(t, err)
	lists := slices.Compare(versionOf(t, in.Run("nft", "--version"), "nftables v%d.%d.%d"), []int{1, 1, 6}) >= 0
	if found.DevicePrefix != (takes && lists) {
		t.Errorf("%s: %+v", in.Run("nft", "--version"), found)
	}
	if got := in.Run("nft", "list", "ruleset"); got != "" {
		t.Errorf("the probe left something:\n%s", got)
	}
}

// versionOf reads the numbers of a version.
func versionOf(t *testing.T, text, format string) (version []int) {
	t.Helper()
	numbers := make([]any, strings.Count(format, "%d"))
	for i := range numbers {
		numbers[i] = new(int)
	}
	_, err := fmt.Sscanf(text, format, numbers...)
	check(t, err)
	for _, n := range numbers {
		version = append(version, *n.(*int))
	}
	return version
}

func TestLoadTwiceKeepsElements(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		check(t, b.nft.Guard(b.servers(0, 2)...))
		check(t, b.nft.SetHostAddrs([]netip.Addr{testnet.HostAddr}))
		b.ns.Run("nft", "add", "element", "netdev", "mcpnet", "flows",
			"{ 172.20.100.1 . 3000 . 172.20.0.100 . 50000 timeout 60s }")
		first, chains := b.listing(), b.observe().Chains
		b.load()
		if diff := cmp.Diff(dropExpiry(first), dropExpiry(b.listing())); diff != "" {
			t.Errorf("a second load changes something:\n%s", diff)
		}
		if diff := cmp.Diff(chains, b.observe().Chains); diff != "" {
			t.Errorf("a second load changes chains:\n%s", diff)
		}
	})
}

// dropExpiry leaves out how long elements live from now.
func dropExpiry(listing string) string {
	var out []string
	for _, line := range strings.Split(listing, "\n") {
		line, _, _ = strings.Cut(line, " expires")
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// TestLoadReplacesPolicy: what an older policy permitted is gone with the load of a newer one.
func TestLoadReplacesPolicy(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		b.net = networkFor(t, "172.20.0.100:9000")
		b.rules = firewall.CompileNetwork(b.net, b.features)
		b.load()
		if got := b.listing(); strings.Contains(got, "8080") || !strings.Contains(got, "172.20.0.100 . 9000") {
			t.Errorf("policy is not replaced:\n%s", got)
		}
	})
}

// TestPrefixChain: one chain takes the frames of every wire, also of those that come later, and of no other link. It is
// put back with its rule whatever somebody did to it.
func TestPrefixChain(t *testing.T) {
	b := newBench(t, prefixed)
	want := []string{"mcp-secure/ingress"}
	holds := func(what string) {
		t.Helper()
		if diff := cmp.Diff(want, b.observe().Chains[firewall.NetDev]["MCP-INGRESS"]); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
	}
	b.load()
	holds("after the first load")
	for _, command := range []string{"flush chain netdev mcpnet MCP-INGRESS",
		"add rule netdev mcpnet MCP-INGRESS accept",
		"delete chain netdev mcpnet MCP-INGRESS", "delete table netdev mcpnet"} {
		b.ns.Run("nft", strings.Fields(command)...)
		if slices.Equal(b.observe().Chains[firewall.NetDev]["MCP-INGRESS"], want) {
			t.Errorf("%s goes unnoticed", command)
		}
		b.load()
		holds(command)
	}
	b.ns.Run("ip", "link", "add", "mcpwlater", "type", "veth", "peer", "name", "peer")
	b.ns.Up("mcpwlater")
	b.ns.Up("peer")
	b.ns.Run("ip", "addr", "add", "192.0.2.1/24", "dev", "peer")
	before := b.dropped()
	if !b.ask(func() bool { return b.dropped() > before }) {
		t.Error("the frames of a wire that came later do not meet the chain")
	}
}

// ask sends ARP requests out of the link that has the address 192.0.2.1, until they are seen.
func (b *bench) ask(seen func() bool) bool {
	b.t.Helper()
	conn, err := b.ns.Dial(b.t.Context(), "udp", netip.MustParseAddrPort("192.0.2.77:9"))
	check(b.t, err)
	defer conn.Close()
	for range 100 {
		_, _ = conn.Write([]byte("x"))
		time.Sleep(50 * time.Millisecond)
		if seen() {
			return true
		}
	}
	return false
}

// dropped counts frames of nobody's.
func (b *bench) dropped() uint64 { return b.observe().Counters["mcp-secure/not-own"].Packets }

// TestPrefixOnly: a link whose name begins otherwise is no wire.
func TestPrefixOnly(t *testing.T) {
	b := newBench(t, prefixed)
	b.load()
	b.ns.Run("ip", "link", "add", "xmcpwother", "type", "veth", "peer", "name", "peer")
	b.ns.Up("xmcpwother")
	b.ns.Up("peer")
	b.ns.Run("ip", "addr", "add", "192.0.2.1/24", "dev", "peer")
	if !b.ask(func() bool { return b.ns.Link("xmcpwother").Attrs().Statistics.RxPackets > 0 }) {
		t.Error("nothing was sent, so this test tests nothing")
	}
	if got := b.dropped(); got != 0 {
		t.Errorf("%d frames of another link meet the chain", got)
	}
}

// TestLoadWithoutRouter: rules name the router's port. Without it nothing is loaded, and the error names it.
func TestLoadWithoutRouter(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.ns.Run("ip", "link", "del", topology.Router)
		if err := b.nft.Load(t.Context(), b.rules); err == nil || !strings.Contains(err.Error(), topology.RouterPort) {
			t.Errorf("got %v", err)
		}
		if got := b.listing(); got != "" {
			t.Errorf("half of it is there:\n%s", got)
		}
	})
}

// TestLoadFollowsRouter: rules that were loaded before the router was made anew lead nowhere; loading puts the chain of
// its port onto the new one.
func TestLoadFollowsRouter(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		b.ns.Run("ip", "link", "del", topology.Router)
		b.ns.Run("ip", "link", "add", topology.Router, "type", "veth", "peer", "name", topology.RouterPort)
		b.load()
		b.ns.Up(topology.Router)
		b.ns.Up(topology.RouterPort)
		b.ns.Run("ip", "addr", "add", "192.0.2.1/24", "dev", topology.Router)
		unmarked := func() uint64 { return b.observe().Counters["mcp-secure/router-unmarked"].Packets }
		if !b.ask(func() bool { return unmarked() > 0 }) {
			t.Error("frames of the new router do not meet the chain")
		}
	})
}

func hostRules(t *testing.T, bridge string) firewall.Ruleset {
	n := networkFor(t, "172.20.0.100:8080")
	n.Bridge = bridge
	return firewall.CompileHost(n)
}

// TestUnload: an uplink's rules go from the host, those of others stay, and with the last the table goes.
func TestUnload(t *testing.T) {
	host := testnet.New(t, "host")
	f := openNFT(t, host)
	one, other := hostRules(t, "mcp-secure"), hostRules(t, "mcp-other")
	listing := func() string { return host.Run("nft", "-s", "list", "ruleset") }
	check(t, f.UnloadHost(one)) // nothing is there, not even the table
	check(t, f.LoadHost(other))
	before := listing()
	check(t, f.LoadHost(one))
	check(t, f.LoadHost(one))
	check(t, f.UnloadHost(one))
	check(t, f.UnloadHost(one))
	if diff := cmp.Diff(before, listing()); diff != "" {
		t.Errorf("not as before:\n%s", diff)
	}
	host.Run("nft", "delete", "chain", "inet", "mcpnet", "input.mcp-other") // somebody was faster
	check(t, f.UnloadHost(other))
	if got := listing(); got != "" {
		t.Errorf("left:\n%s", got)
	}
	check(t, f.LoadHost(firewall.Ruleset{})) // a network without an uplink
	if got := listing(); got != "" {
		t.Errorf("made for nothing:\n%s", got)
	}
}

// TestUnloadKeepsTable: what somebody else has in the table stays.
func TestUnloadKeepsTable(t *testing.T) {
	host := testnet.New(t, "host")
	f := openNFT(t, host)
	check(t, f.LoadHost(hostRules(t, "mcp-secure")))
	host.Run("nft", "add", "chain", "inet", "mcpnet", "theirs")
	check(t, f.UnloadHost(hostRules(t, "mcp-secure")))
	if got := host.Run("nft", "list", "ruleset"); !strings.Contains(got, "theirs") ||
		strings.Contains(got, "mcp-secure") {
		t.Errorf("left:\n%s", got)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	b := newBench(t, older)
	err := b.nft.Load(t.Context(), firewall.Ruleset{Chains: []firewall.Chain{{Family: firewall.NetDev, Name: "c",
		Rules: []firewall.Rule{
			{ID: "x/y", Match: []firewall.Match{firewall.Shape("no such thing")}, Verdict: firewall.Drop}}}}})
	if err == nil || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("got %v", err)
	}
	if got := b.listing(); got != "" {
		t.Errorf("half of it is there:\n%s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.nft.Load(ctx, b.rules); err == nil {
		t.Error("loads after its context ended")
	}
}

func TestObserve(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		if s := b.observe(); len(s.Chains[firewall.NetDev])+len(s.Chains[firewall.Inet]) > 0 {
			t.Errorf("nothing is there, but observed %v", s.Chains)
		}
		b.load()
		gateway := b.endpoint("g", "172.20.0.100", topology.RoleGateway)
		guards := append(b.servers(0, 2), b.wires(gateway)...)
		check(t, b.nft.Guard(guards...))
		ingress := "MCP-INGRESS"
		if !b.features.DevicePrefix {
			ingress = guards[0].Chain.Name
		}
		s := b.observe()
		if diff := cmp.Diff([]string{"mcp-secure/ingress"}, s.Chains[firewall.NetDev][ingress]); diff != "" {
			t.Error(diff)
		}
		if got, want := s.Chains[firewall.Inet]["MCP-FORWARD"], "mcp-secure/egress-refused/log"; !slices.Contains(got,
			want) {
			t.Errorf("%v lacks %s", got, want)
		}
		wireA, wireB, wireG := guards[0].Wire, guards[1].Wire, guards[2].Wire
		const macA, macB, macG = "02:6b:ac:14:64:01", "02:6b:ac:14:64:02", "02:6b:ac:14:00:64"
		want := map[string]map[string]string{
			"gateway-ip": {"172.20.0.100": ""}, "permitted-tcp": {"172.20.0.100 . 8080": ""}, "permitted-udp": {}, "published-tcp": {},
			"gateway-mac": {"172.20.0.100": macG},
			"anti-spoof": {wireA + " . " + macA + " . 172.20.100.1": "", wireB + " . " + macB +
				" . 172.20.100.2": ""},
			"anti-spoof-held": {}, "anti-spoof-denied": {}, "held-servers": {},
			"from-gateway-udp": {}, "to-gateway-udp": {}, "host-addrs": {}, "attached-gateways": {"172.20.0.100": ""},
			"anti-spoof-gateway": {wireG + " . " + macG + " . 172.20.0.100": ""},
			"servers": {wireA + " . 0x026bac146401080045 . 172.20.100.1": "",
				wireB + " . 0x026bac146402080045 . 172.20.100.2": ""},
			"from-gateway-tcp": {wireG + " . 0x026bac140064080045 . 172.20.0.100 . 8080": ""},
			"to-gateway-tcp":   {"0x026bac140064 . 172.20.0.100 . 8080": wireG},
			"gateway-port":     {macG + " . 172.20.0.100": wireG},
			"server-wire":      {macA + " . 172.20.100.1": wireA, macB + " . 172.20.100.2": wireB},
			"endpoint-mac":     {"172.20.100.1": macA, "172.20.100.2": macB, "172.20.0.100": macG},
			"endpoint-wire":    {"172.20.100.1": wireA, "172.20.100.2": wireB, "172.20.0.100": wireG},
		}
		if diff := cmp.Diff(want, s.Elements); diff != "" {
			t.Error(diff)
		}
		b.ns.Run("nft", "add", "rule", "netdev", "mcpnet", ingress, "accept")
		if got := b.observe().Chains[firewall.NetDev][ingress]; len(got) != 2 || got[1] != "" {
			t.Errorf("a foreign rule shows as %q", got)
		}
	})
}

// TestObserveGoneWire: an element of a wire that is gone shows the wire's index, by which it is dropped.
func TestObserveGoneWire(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		g := b.servers(0, 2)
		check(t, b.nft.Guard(g...))
		b.ns.Run("ip", "link", "del", g[0].Wire)
		gone := fmt.Sprintf("#%d", g[0].Index)
		s := b.observe()
		if data, ok := s.Elements["anti-spoof"][gone+" . 02:6b:ac:14:64:01 . 172.20.100.1"]; !ok || data != "" {
			t.Errorf("anti-spoof: %v", s.Elements["anti-spoof"])
		}
		if got := s.Elements["endpoint-wire"]["172.20.100.1"]; got != gone {
			t.Errorf("endpoint-wire leads to %s, want %s", got, gone)
		}
		var stale []firewall.GuardElement
		for _, set := range b.rules.Sets {
			for key, data := range s.Elements[set.Name] {
				if strings.Contains(key, "172.20.100.1") {
					stale = append(stale, firewall.GuardElement{Set: set,
						Element: firewall.Element{Key: strings.Split(key, " . "), Data: data}})
				}
			}
		}
		check(t, b.nft.DropElements(nil, stale...))
		check(t, b.nft.DropElements(nil, stale...)) // what is missing is no error
		b.holdsOnly(g[1])
	})
}

// holdsOnly holds the sets that endpoints fill to the elements of some.
func (b *bench) holdsOnly(guards ...nft.Guard) {
	b.t.Helper()
	want, got := map[string]map[string]string{}, map[string]map[string]string{}
	for _, s := range b.rules.Sets {
		if s.Filled && !s.Dynamic && s.Name != firewall.SetHost {
			want[s.Name] = map[string]string{}
		}
	}
	for _, g := range guards {
		for _, e := range g.Elements {
			want[e.Set.Name][e.KeyText()] = e.Data
		}
	}
	state := b.observe()
	for name := range want {
		got[name] = map[string]string{}
		for key, data := range state.Elements[name] {
			got[name][key] = data
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("elements:\n%s", diff)
	}
}

// TestObserveOnly: what a network has in common is read, and nothing of its endpoints.
func TestObserveOnly(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		check(t, b.nft.Guard(b.servers(0, 2)...))
		s, err := b.nft.ObserveOnly(b.rules)
		check(t, err)
		for _, c := range b.rules.Chains {
			if len(s.Chains[c.Family][c.Name]) < len(c.Rules) {
				t.Errorf("chain %s has %v", c.Name, s.Chains[c.Family][c.Name])
			}
			delete(s.Chains[c.Family], c.Name)
		}
		if len(s.Chains[firewall.NetDev])+len(s.Chains[firewall.Inet]) > 0 {
			t.Errorf("chains of others: %v", s.Chains)
		}
		if s.Elements["gateway-mac"]["172.20.0.100"] != "02:6b:ac:14:00:64" || len(s.Elements) != 5 {
			t.Errorf("elements %v", s.Elements)
		}
		b.ns.Run("nft", "flush", "chain", "netdev", "mcpnet", "DOCKER-MCP")
		b.ns.Run("nft", "flush", "set", "netdev", "mcpnet", "permitted-tcp")
		s, err = b.nft.ObserveOnly(b.rules)
		check(t, err)
		if len(s.Chains[firewall.NetDev]["DOCKER-MCP"])+len(s.Elements["permitted-tcp"]) > 0 {
			t.Errorf("what is gone: %v, %v", s.Chains[firewall.NetDev]["DOCKER-MCP"], s.Elements)
		}
		b.ns.Run("nft", "flush", "ruleset")
		s, err = b.nft.ObserveOnly(b.rules)
		check(t, err)
		if len(s.Chains[firewall.NetDev])+len(s.Chains[firewall.Inet])+len(s.Elements["gateway-ip"]) > 0 {
			t.Errorf("nothing is there, but observed %v", s)
		}
	})
}

func TestMissingElements(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		g := b.servers(0, 2)
		check(t, b.nft.Guard(g...))
		missing := func(one nft.Guard) string {
			t.Helper()
			got, err := b.nft.MissingElements(one)
			check(t, err)
			return strings.Join(got, "; ")
		}
		if got := missing(g[0]); got != "" {
			t.Errorf("nothing is missing, but: %s", got)
		}
		for _, e := range g[0].Elements {
			check(t, b.nft.DropElements(map[string]int{g[0].Wire: g[0].Index}, e))
			if got, want := missing(g[0]), fmt.Sprintf("set %s lacks %s", e.Set.Name, strings.Join(e.Key, " . ")); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			check(t, b.nft.Guard(g[0]))
		}
		other := g[0]
		other.Index = g[1].Index // the element of another wire is not the endpoint's
		if got := missing(other); !strings.Contains(got, "set anti-spoof lacks") {
			t.Errorf("got %q", got)
		}
	})
}

func TestHostAddrs(t *testing.T) {
	b := newBench(t, older)
	if got, err := b.nft.HostAddrs(); err != nil || len(got) > 0 {
		t.Errorf("without rules: %v, %v", got, err)
	}
	b.load()
	for _, want := range [][]netip.Addr{{testnet.HostAddr, testnet.VictimBridge}, {testnet.VictimBridge},
		{testnet.VictimBridge}, nil} {
		check(t, b.nft.SetHostAddrs(want))
		got, err := b.nft.HostAddrs()
		check(t, err)
		slices.SortFunc(got, func(a, b netip.Addr) int { return b.Compare(a) })
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// TestObserveSumsCounters: one rule id in several chains is one counter.
func TestObserveSumsCounters(t *testing.T) {
	b := newBench(t, older)
	b.ns.RunInput(`table netdev mcpnet {
		chain a { counter packets 3 bytes 30 drop comment "n/x"; }
		chain b { counter packets 4 bytes 40 drop comment "n/x"; }
		chain c { counter packets 0 bytes 0 drop comment "n/never"; }
	}
	table netdev other {
		chain a { counter packets 9 bytes 9 comment "n/x"; }
	}
	`, "nft", "-f", "-")
	want := map[string]topology.Traffic{"n/x": {Packets: 7, Bytes: 70}}
	if diff := cmp.Diff(want, b.observe().Counters); diff != "" {
		t.Error(diff)
	}
}
