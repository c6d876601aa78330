package nft_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestGuardAsText holds what goes over netlink to what the text says: the kernel shows the same for both.
func TestGuardAsText(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		for _, role := range []topology.Role{topology.RoleServer, topology.RoleGateway, topology.RoleCandidate} {
			g := b.wires(b.endpoint(string(role), "172.20.0.100", role))
			check(t, b.nft.Guard(g...))
			netlink := b.listing()
			check(t, b.nft.Unguard(g...))
			b.ns.RunInput(g[0].Text(), "nft", "-f", "-")
			if diff := cmp.Diff(sortedLines(netlink), sortedLines(b.listing())); diff != "" {
				t.Errorf("%s: netlink (-) and text (+) differ:\n%s", role, diff)
			}
			check(t, b.nft.Unguard(g...))
		}
	})
}

func sortedLines(s string) map[string]int {
	out := map[string]int{}
	for _, line := range strings.Split(s, "\n") {
		out[line]++
	}
	return out
}

func TestGuardTwice(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		g := b.servers(0, 2)
		check(t, b.nft.Guard(g...))
		first := b.listing()
		check(t, b.nft.Guard(g...))
		if diff := cmp.Diff(first, b.listing()); diff != "" {
			t.Error(diff)
		}
		b.holdsOnly(g...)
	})
}

// TestGuardOverStaleElement: an endpoint that is gone left its elements; its successor has the address and another
// wire.
func TestGuardOverStaleElement(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		old := b.servers(0, 1)
		check(t, b.nft.Guard(old...))
		successor := b.server(0)
		successor.ID = "successor"
		next := b.wires(successor)[0]
		b.ns.Run("ip", "link", "del", old[0].Wire)
		// In one batch with others, which must not suffer.
		others := b.servers(1, 5)
		check(t, b.nft.Guard(append([]nft.Guard{next}, others...)...))
		s := b.observe()
		if len(s.Elements["server-wire"]) != 6 ||
			s.Elements["server-wire"]["02:6b:ac:14:64:01 . 172.20.100.1"] != next.Wire {
			t.Errorf("server-wire: %v", s.Elements["server-wire"])
		}
		for _, g := range append(others, next) {
			if missing, err := b.nft.MissingElements(g); err != nil || len(missing) > 0 {
				t.Errorf("%s: %v, %v", g.Wire, missing, err)
			}
		}
		check(t, b.nft.Unguard(next))
	})
}

// TestGuardChange: what an endpoint has no more is gone with the transaction's end, also where only the wire's index
// names it.
func TestGuardChange(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		candidate := b.endpoint("g", "172.20.0.100", topology.RoleCandidate)
		promoted := candidate
		promoted.Role = topology.RoleGateway
		g := b.wires(candidate)
		neighbour := b.servers(0, 1)
		check(t, b.nft.Guard(append(g, neighbour...)...))
		b.holdsOnly(g[0], neighbour[0])
		after := firewall.CompileEndpoint(b.net, promoted, b.features)
		next := nft.Guard{Guard: firewall.Change(g[0].Guard, after), Index: g[0].Index}
		for range 2 { // what is gone already is no error
			check(t, b.nft.Guard(next))
			b.holdsOnly(next, neighbour[0])
		}
		back := nft.Guard{Guard: firewall.Change(after, g[0].Guard), Index: g[0].Index}
		check(t, b.nft.Guard(back))
		b.holdsOnly(back, neighbour[0])
	})
}

func TestGuardMany(t *testing.T) {
	const count = 300
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		g := b.servers(0, count)
		began := time.Now()
		check(t, b.nft.Guard(g...))
		t.Logf("%d guards in %v", count, time.Since(began))
		// One stale element in the last batch: the others of its batch come again.
		began = time.Now()
		stale := g[count-1]
		stale.Index = g[0].Index
		check(t, b.nft.Unguard(g[count-1]))
		check(t, b.nft.Guard(stale))
		check(t, b.nft.Guard(g...))
		t.Logf("again, with a stale element, in %v", time.Since(began))
		s := b.observe()
		if got := len(s.Elements["server-wire"]); got != count {
			t.Errorf("%d elements, want %d", got, count)
		}
		for _, one := range g {
			if ids := s.Chains[firewall.NetDev][one.Chain.Name]; one.Chain.Name != "" && len(ids) != 1 {
				t.Fatalf("chain %s has %v", one.Chain.Name, ids)
			}
			known := one.Elements[0] // IP → MAC
			if _, ok := s.Elements["anti-spoof"][one.Wire+" . "+known.Data+" . "+known.Key[0]]; !ok {
				t.Fatalf("%s is not its own", one.Wire)
			}
		}
		for _, e := range stale.OfWireAlone().Elements {
			e.Key = append([]string{g[0].Wire}, e.Key[1:]...)
			check(t, b.nft.DropElements(map[string]int{g[0].Wire: g[0].Index}, e))
		}
		b.holdsOnly(g...)
		began = time.Now()
		check(t, b.nft.Unguard(g...))
		t.Logf("%d guards removed in %v", count, time.Since(began))
		b.holdsOnly()
	})
}

func antiSpoof(b *bench) firewall.Set {
	set, _ := b.rules.Set(firewall.NetDev, "anti-spoof")
	return set
}

// TestDropElements: an element that says of another wire what a living endpoint's says of its own goes alone.
func TestDropElements(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		g := b.servers(0, 2)
		check(t, b.nft.Guard(g...))
		b.ns.Run("nft", "add", "element", "netdev", "mcpnet", "anti-spoof",
			fmt.Sprintf("{ %q . 02:6b:ac:14:64:01 . 172.20.100.1 }", g[1].Wire))
		stray := firewall.GuardElement{Set: antiSpoof(b), Element: firewall.Element{Key: []string{g[1].Wire,
			"02:6b:ac:14:64:01", "172.20.100.1"}}}
		if got := b.observe().Elements["anti-spoof"]; len(got) != 3 {
			t.Fatalf("elements %v", got)
		}
		check(t, b.nft.DropElements(map[string]int{g[1].Wire: g[1].Index}, stray))
		b.holdsOnly(g...)
	})
}

// TestUnguardWhatIsMissing: nothing that somebody else took away keeps a guard from going, and the rest of it goes.
func TestUnguardWhatIsMissing(t *testing.T) {
	for name, takeAway := range map[string]func(b *bench, g nft.Guard){
		"chain": func(b *bench, g nft.Guard) {
			if g.Chain.Name != "" {
				b.ns.Run("nft", "delete", "chain", "netdev", "mcpnet", g.Chain.Name)
			}
		},
		"elements": func(b *bench, _ nft.Guard) {
			b.ns.Run("nft", "flush", "map", "netdev", "mcpnet",
				"server-wire")
		},
		"one element": func(b *bench, _ nft.Guard) {
			b.ns.Run("nft", "flush", "set", "netdev", "mcpnet",
				"anti-spoof")
		},
		"device":     func(b *bench, g nft.Guard) { b.ns.Run("ip", "link", "del", g.Wire) },
		"everything": func(b *bench, _ nft.Guard) { b.ns.Run("nft", "flush", "ruleset") },
		"nothing":    func(*bench, nft.Guard) {},
	} {
		t.Run(name, func(t *testing.T) {
			forKernels(t, func(t *testing.T, b *bench) {
				b.load()
				g := b.servers(0, 1)
				check(t, b.nft.Guard(g...))
				takeAway(b, g[0])
				check(t, b.nft.Unguard(g...))
				check(t, b.nft.Unguard(g...))
				if _, ok := b.observe().Chains[firewall.NetDev][g[0].Chain.Name]; ok {
					t.Errorf("chain %s is left", g[0].Chain.Name)
				}
				b.holdsOnly()
			})
		})
	}
}

// TestUnguardGoneWire: of a wire that is gone not even the index is known.
func TestUnguardGoneWire(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		g := append(b.servers(0, 2), b.wires(b.endpoint("g", "172.20.0.100", topology.RoleGateway))...)
		check(t, b.nft.Guard(g...))
		for _, i := range []int{0, 2} {
			b.ns.Run("ip", "link", "del", g[i].Wire)
			g[i].Index = 0
			check(t, b.nft.Unguard(g[i]))
		}
		b.holdsOnly(g[1])
	})
}

// TestUnguardOfWireAlone: the address was given to another endpoint; its elements stay.
func TestUnguardOfWireAlone(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
		b.load()
		old := b.servers(0, 1)
		check(t, b.nft.Guard(old...))
		successor := b.server(0)
		successor.ID = "successor"
		next := b.wires(successor)
		check(t, b.nft.Guard(next...))
		leaving := old[0]
		leaving.Guard = leaving.OfWireAlone()
		check(t, b.nft.Unguard(leaving))
		b.holdsOnly(next...)
	})
}

// TestGuardWithoutNetwork: an endpoint of a network whose rules are gone gets no half of a guard, and the connection is
// good for the next transaction.
func TestGuardWithoutNetwork(t *testing.T) {
	forKernels(t, func(t *testing.T, b *bench) {
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
		b.holdsOnly(g...)
	})
}
