package nft_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// bench is a namespace with the rules of one network and as many wires as a test asks for.
type bench struct {
	t     *testing.T
	ns    *testnet.NS
	nft   *nft.Firewall
	net   topology.Network
	rules firewall.Ruleset
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, ns: testnet.New(t, "nft")}
	b.nft = openNFT(t, b.ns)
	p, err := policy.Parse(map[string]string{"mcpnet.gateway": "172.20.0.100:8080"})
	check(t, err)
	b.net = topology.Network{ID: "4f2a9c1e", Owner: topology.OwnerDocker, Bridge: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
	features, err := b.nft.Features(t.Context())
	check(t, err)
	b.rules = firewall.CompileNetwork(b.net, features)
	return b
}

func (b *bench) load() { b.t.Helper(); check(b.t, b.nft.Load(b.t.Context(), b.rules)) }

func (b *bench) listing() string { return b.ns.Run("nft", "-s", "list", "ruleset") }

func (b *bench) observe() nft.State {
	b.t.Helper()
	s, err := b.nft.Observe()
	check(b.t, err)
	return s
}

// servers makes wires for servers, and gives their guards.
func (b *bench) servers(first, count int) []nft.Guard {
	b.t.Helper()
	var guards []nft.Guard
	var links strings.Builder
	for i := first; i < first+count; i++ {
		e := b.server(i)
		fmt.Fprintf(&links, "link add %s type veth peer name %s\n", e.Wire(), e.Peer())
		guards = append(guards, nft.Guard{Guard: firewall.CompileEndpoint(b.net, e)})
	}
	b.ns.RunInput(links.String(), "ip", "-batch", "-")
	for i := range guards {
		guards[i].Index = b.ns.Link(guards[i].Chain.Device).Attrs().Index
	}
	return guards
}

func (b *bench) server(i int) topology.Endpoint {
	a := netip.AddrFrom4([4]byte{172, 20, byte(100 + i/200), byte(1 + i%200)})
	return topology.Endpoint{ID: fmt.Sprintf("server-%d", i), Owner: topology.OwnerDocker, NetworkID: b.net.ID, Role: topology.RoleServer, IP: a, MAC: topology.MACFor(b.net.ID, a)}
}

func plain(guards []nft.Guard) (out []firewall.Guard) {
	for _, g := range guards {
		out = append(out, g.Guard)
	}
	return out
}

func TestFeatures(t *testing.T) {
	b := newBench(t)
	f, err := b.nft.Features(t.Context())
	check(t, err)
	t.Logf("%+v", f)
	if got := b.listing(); got != "" {
		t.Errorf("the probe left something:\n%s", got)
	}
}

func TestLoadTwiceKeepsElements(t *testing.T) {
	b := newBench(t)
	b.load()
	check(t, b.nft.Guard(b.servers(0, 2)...))
	b.ns.Run("nft", "add", "element", "netdev", "mcpnet", "mcp-secure.flows", "{ 172.20.100.1 . 3000 . 172.20.0.100 . 50000 timeout 60s }")
	first := b.listing()
	b.load()
	if diff := cmp.Diff(dropExpiry(first), dropExpiry(b.listing())); diff != "" {
		t.Errorf("a second load changes something:\n%s", diff)
	}
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
	b := newBench(t)
	b.load()
	p, err := policy.Parse(map[string]string{"mcpnet.gateway": "172.20.0.100:9000"})
	check(t, err)
	b.net.Policy = p
	b.rules = firewall.CompileNetwork(b.net, firewall.Features{})
	b.load()
	if got := b.listing(); strings.Contains(got, "8080") || !strings.Contains(got, "172.20.0.100 . 9000") {
		t.Errorf("policy is not replaced:\n%s", got)
	}
}

func TestUnload(t *testing.T) {
	b := newBench(t)
	check(t, b.nft.Unload(t.Context(), b.rules)) // nothing is there, not even the tables
	b.load()
	check(t, b.nft.Unload(t.Context(), b.rules))
	check(t, b.nft.Unload(t.Context(), b.rules))
	if got := b.listing(); strings.Contains(got, "mcp-secure") {
		t.Errorf("left:\n%s", got)
	}
	check(t, b.nft.RemoveTables(t.Context()))
	check(t, b.nft.RemoveTables(t.Context()))
	if got := b.listing(); got != "" {
		t.Errorf("left:\n%s", got)
	}
}

// TestUnloadHalf: a chain and a set that somebody else removed are no obstacle.
func TestUnloadHalf(t *testing.T) {
	b := newBench(t)
	b.load()
	b.ns.Run("nft", "delete", "chain", "inet", "mcpnet", "input.mcp-secure")
	check(t, b.nft.Unload(t.Context(), b.rules))
	if got := b.listing(); strings.Contains(got, "mcp-secure") {
		t.Errorf("left:\n%s", got)
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	b := newBench(t)
	err := b.nft.Load(t.Context(), firewall.Ruleset{Chains: []firewall.Chain{{Family: firewall.NetDev, Name: "c", Rules: []firewall.Rule{
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
	b := newBench(t)
	if s := b.observe(); len(s.Chains[firewall.NetDev])+len(s.Chains[firewall.Inet]) > 0 {
		t.Errorf("nothing is there, but observed %v", s.Chains)
	}
	b.load()
	guards := b.servers(0, 3)
	check(t, b.nft.Guard(guards...))
	s := b.observe()
	if diff := cmp.Diff([]string{"mcp-secure/wire"}, s.Chains[firewall.NetDev][guards[0].Chain.Name]); diff != "" {
		t.Error(diff)
	}
	if got, want := s.Chains[firewall.Inet]["input.mcp-secure"], "mcp-secure/host-refused/log"; !slices.Contains(got, want) {
		t.Errorf("%v lacks %s", got, want)
	}
	for set, want := range map[string]int{"mcp-secure.own": 3, "mcp-secure.wire": 3, "mcp-secure.server-mac": 3, "mcp-secure.port": 0, "mcp-secure.gateway-mac": 1} {
		if got := s.Elements[set]; got != want {
			t.Errorf("%s has %d elements, want %d", set, got, want)
		}
	}
	b.ns.Run("nft", "add", "rule", "netdev", "mcpnet", guards[0].Chain.Name, "accept")
	if got := b.observe().Chains[firewall.NetDev][guards[0].Chain.Name]; len(got) != 2 || got[1] != "" {
		t.Errorf("a foreign rule shows as %q", got)
	}
}

// TestObserveSumsCounters: one rule id in several chains is one counter.
func TestObserveSumsCounters(t *testing.T) {
	b := newBench(t)
	b.ns.RunInput(`table netdev mcpnet {
		chain a { counter packets 3 bytes 30 drop comment "n/x"; }
		chain b { counter packets 4 bytes 40 drop comment "n/x"; }
		chain c { counter packets 0 bytes 0 drop comment "n/never"; }
	}
	table netdev other {
		chain a { counter packets 9 bytes 9 comment "n/x"; }
	}
	`, "nft", "-f", "-")
	want := map[string]nft.Counter{"n/x": {Packets: 7, Bytes: 70}}
	if diff := cmp.Diff(want, b.observe().Counters); diff != "" {
		t.Error(diff)
	}
}
