package nft_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
)

// TestGuardAsText holds what goes over netlink to what the text says: the kernel shows the same for both.
func TestGuardAsText(t *testing.T) {
	b := newBench(t)
	b.load()
	g := b.servers(0, 1)
	check(t, b.nft.Guard(g...))
	netlink := b.listing()
	check(t, b.nft.Unguard(plain(g)...))
	b.ns.RunInput(g[0].Text(), "nft", "-f", "-")
	if diff := cmp.Diff(sortedLines(netlink), sortedLines(b.listing())); diff != "" {
		t.Errorf("netlink (-) and text (+) differ:\n%s", diff)
	}
}

func sortedLines(s string) map[string]int {
	out := map[string]int{}
	for _, line := range strings.Split(s, "\n") {
		out[line]++
	}
	return out
}

func TestGuardTwice(t *testing.T) {
	b := newBench(t)
	b.load()
	g := b.servers(0, 2)
	check(t, b.nft.Guard(g...))
	first := b.listing()
	check(t, b.nft.Guard(g...))
	if diff := cmp.Diff(first, b.listing()); diff != "" {
		t.Error(diff)
	}
}

// TestGuardOverStaleElement: an endpoint that is gone left its elements; its successor has the address and another wire.
func TestGuardOverStaleElement(t *testing.T) {
	b := newBench(t)
	b.load()
	old := b.servers(0, 1)
	check(t, b.nft.Guard(old...))
	e := b.server(0)
	e.ID = "successor"
	b.ns.Run("ip", "link", "add", e.Wire(), "type", "veth", "peer", "name", e.Peer())
	b.ns.Run("ip", "link", "del", old[0].Chain.Device)
	next := nft.Guard{Guard: firewall.CompileEndpoint(b.net, e), Index: b.ns.Link(e.Wire()).Attrs().Index}
	// In one batch with others, which must not suffer.
	others := b.servers(1, 5)
	check(t, b.nft.Guard(append([]nft.Guard{next}, others...)...))
	if got := b.observe().Elements["mcp-secure.wire"]; got != 6 {
		t.Errorf("%d elements, want 6", got)
	}
	if got := b.ns.Run("nft", "list", "map", "netdev", "mcpnet", "mcp-secure.wire"); !strings.Contains(got, e.Wire()) {
		t.Errorf("the element does not lead to the new wire:\n%s", got)
	}
	check(t, b.nft.Unguard(next.Guard))
}

func TestGuardMany(t *testing.T) {
	const count = 300
	b := newBench(t)
	b.load()
	g := b.servers(0, count)
	began := time.Now()
	check(t, b.nft.Guard(g...))
	t.Logf("%d guards in %v", count, time.Since(began))
	// One stale element in the last batch: the others of its batch come again.
	began = time.Now()
	stale := g[count-1]
	stale.Index = g[0].Index
	check(t, b.nft.Unguard(g[count-1].Guard))
	check(t, b.nft.Guard(stale))
	check(t, b.nft.Guard(g...))
	t.Logf("again, with a stale element, in %v", time.Since(began))
	s := b.observe()
	if got := s.Elements["mcp-secure.wire"]; got != count {
		t.Errorf("%d elements, want %d", got, count)
	}
	for _, one := range g {
		if ids := s.Chains[firewall.NetDev][one.Chain.Name]; len(ids) != 1 {
			t.Fatalf("chain %s has %v", one.Chain.Name, ids)
		}
	}
	began = time.Now()
	check(t, b.nft.Unguard(plain(g)...))
	t.Logf("%d guards removed in %v", count, time.Since(began))
	if s := b.observe(); s.Elements["mcp-secure.wire"] != 0 || s.Elements["mcp-secure.server-mac"] != 0 {
		t.Errorf("elements left: %v", s.Elements)
	}
}

// TestUnguardWhatIsMissing: nothing that somebody else took away keeps a guard from going, and the rest of it goes.
func TestUnguardWhatIsMissing(t *testing.T) {
	for name, takeAway := range map[string]func(b *bench, g nft.Guard){
		"chain":    func(b *bench, g nft.Guard) { b.ns.Run("nft", "delete", "chain", "netdev", "mcpnet", g.Chain.Name) },
		"elements": func(b *bench, _ nft.Guard) { b.ns.Run("nft", "flush", "map", "netdev", "mcpnet", "mcp-secure.wire") },
		"one element": func(b *bench, _ nft.Guard) {
			b.ns.Run("nft", "flush", "map", "netdev", "mcpnet", "mcp-secure.server-mac")
		},
		"device":     func(b *bench, g nft.Guard) { b.ns.Run("ip", "link", "del", g.Chain.Device) },
		"everything": func(b *bench, _ nft.Guard) { b.ns.Run("nft", "flush", "ruleset") },
		"nothing":    func(*bench, nft.Guard) {},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.load()
			g := b.servers(0, 1)
			check(t, b.nft.Guard(g...))
			takeAway(b, g[0])
			check(t, b.nft.Unguard(plain(g)...))
			check(t, b.nft.Unguard(plain(g)...))
			s := b.observe()
			if _, ok := s.Chains[firewall.NetDev][g[0].Chain.Name]; ok || s.Elements["mcp-secure.wire"]+s.Elements["mcp-secure.server-mac"] > 0 {
				t.Errorf("left: %v %v", s.Chains, s.Elements)
			}
		})
	}
}

// TestGuardWithoutNetwork: an endpoint of a network whose rules are gone gets no half of a guard, and the connection is
// good for the next transaction.
func TestGuardWithoutNetwork(t *testing.T) {
	b := newBench(t)
	g := b.servers(0, 3)
	for range 3 {
		if err := b.nft.Guard(g...); err == nil {
			t.Error("a guard without its network's rules is no error")
		}
	}
	if got := b.listing(); got != "" {
		t.Errorf("half of it is there:\n%s", got)
	}
	b.load()
	check(t, b.nft.Guard(g...))
	if got := b.observe().Elements["mcp-secure.wire"]; got != 3 {
		t.Errorf("%d elements, want 3", got)
	}
}
