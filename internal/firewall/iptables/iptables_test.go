package iptables_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/mcpnet/mcpnet/internal/firewall/iptables"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// host is a namespace with iptables in one variant.
type host struct {
	t       *testing.T
	ns      *testnet.NS
	variant string
}

// forVariants runs a test with each variant that this kernel has.
func forVariants(t *testing.T, test func(t *testing.T, h *host)) {
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			h := &host{t, testnet.New(t, "iptables"), variant}
			if out, err := h.ns.Output("iptables-"+variant, "-S"); err != nil {
				testnet.Lacks(t, "iptables-"+variant, strings.TrimSpace(out))
			}
			test(t, h)
		})
	}
}

func (h *host) run(args ...string) string { return h.ns.Run("iptables-"+h.variant, args...) }

func (h *host) open() *iptables.Firewall {
	h.t.Helper()
	handle, err := ns.Open(h.ns.Path())
	check(h.t, err)
	h.t.Cleanup(func() { handle.Close() })
	f, err := iptables.Open(handle)
	check(h.t, err)
	return f
}

// saved is everything in both families, without comments and counters. What empty tables there are is no difference.
func (h *host) saved() string {
	var out []string
	for _, command := range []string{"iptables-", "ip6tables-"} {
		for _, line := range strings.Split(h.ns.Run(command+h.variant+"-save"), "\n") {
			if strings.HasPrefix(line, "-A") || (strings.HasPrefix(line, ":") && strings.Contains(line, " - ")) {
				line, _, _ = strings.Cut(line, " [")
				out = append(out, command[:strings.Index(command, "tables")]+": "+line)
			}
		}
	}
	return strings.Join(out, "\n")
}

func (h *host) missing(f *iptables.Firewall, networks ...iptables.Network) bool {
	h.t.Helper()
	for _, n := range networks {
		missing, err := f.Missing(n)
		check(h.t, err)
		if missing {
			return true
		}
	}
	return false
}

// where is the place of DOCKER-MCP.
func where(f *iptables.Firewall) string {
	p, ok := f.Where()
	if !ok {
		return ""
	}
	return fmt.Sprint(p.Chain, " ", p.Rule)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEnsure(t *testing.T) {
	forVariants(t, func(t *testing.T, h *host) {
		h.run("-N", "DOCKER-USER") // also says which variant is the engine's
		h.run("-A", "FORWARD", "-j", "DOCKER-USER")
		h.run("-A", "DOCKER-USER", "-s", "192.0.2.1", "-j", "DROP") // somebody else's
		before := h.saved()
		f, n := h.open(), network(t, "mcp-secure", 20, nil)
		if f.Variant() != h.variant {
			t.Fatalf("chose %s, DOCKER-USER is in %s", f.Variant(), h.variant)
		}
		if !h.missing(f, n) || where(f) != "" {
			t.Errorf("nothing is there, and nothing is missing; DOCKER-MCP from %q", where(f))
		}
		check(t, f.Ensure(t.Context(), n))
		after := h.saved()
		if h.missing(f, n) || where(f) != "FORWARD 2" {
			t.Errorf("missing %v, DOCKER-MCP from %q", h.missing(f, n), where(f))
		}
		check(t, f.Ensure(t.Context(), n))
		if diff := cmp.Diff(after, h.saved()); diff != "" {
			t.Errorf("a second time changes something:\n%s", diff)
		}
		if strings.Contains(h.saved(), "ip6: ") && strings.Contains(h.saved()[strings.Index(h.saved(), "ip6: "):],
			"MCP") {
			t.Errorf("something for IPv6, which passes nowhere:\n%s", h.saved())
		}
		check(t, f.Remove(t.Context(), n.Uplink))
		check(t, f.Remove(t.Context(), n.Uplink))
		if diff := cmp.Diff(before, h.saved()); diff != "" {
			t.Errorf("not as before:\n%s", diff)
		}
	})
}

// TestLast: whatever another rule of the host's decides is decided: our jumps stand behind all of them.
func TestLast(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	h.run("-A", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
	h.run("-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE")
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	check(t, f.Ensure(t.Context(), n))
	for chain, rules := range map[string]string{"DOCKER-MCP": h.run("-S", "FORWARD"),
		"MCP-MASQUERADE": h.run("-t", "nat", "-S", "POSTROUTING")} {
		if !strings.HasSuffix(strings.TrimSpace(rules), "-j "+chain) {
			t.Errorf("the jump to %s is not the last rule:\n%s", chain, rules)
		}
	}
	// A rule that comes later is asked first, too. The order of what masquerades opens nothing.
	h.run("-A", "FORWARD", "-s", "192.0.2.2", "-j", "DROP")
	h.run("-t", "nat", "-A", "POSTROUTING", "-s", "192.0.3.0/24", "-j", "MASQUERADE")
	nat := h.run("-t", "nat", "-S")
	if !h.missing(f, n) {
		t.Error("a jump before a foreign rule is where it belongs")
	}
	check(t, f.Ensure(t.Context(), n))
	want := "-A FORWARD -s 192.0.2.1/32 -j DROP\n-A FORWARD -s 192.0.2.2/32 -j DROP\n-A FORWARD -j DOCKER-MCP"
	if got := h.run("-S", "FORWARD"); !strings.HasSuffix(strings.TrimSpace(got), want) || h.missing(f, n) {
		t.Errorf("missing, or another order:\n%s", got)
	}
	if diff := cmp.Diff(nat, h.run("-t", "nat", "-S")); diff != "" {
		t.Errorf("table nat changed:\n%s", diff)
	}
}

// TestDockerUser: the jump that an earlier mcpnet put into Docker's chain goes, and one at the end of FORWARD takes its
// place.
func TestDockerUser(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	h.run("-N", "DOCKER-USER")
	h.run("-A", "FORWARD", "-j", "DOCKER-USER")
	h.run("-N", "DOCKER-MCP")
	h.run("-I", "DOCKER-USER", "-j", "DOCKER-MCP")
	h.run("-A", "DOCKER-USER", "-s", "192.0.2.1", "-j", "DROP")
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	if !h.missing(f, n) {
		t.Error("nothing leads there from FORWARD, and nothing is missing")
	}
	check(t, f.Ensure(t.Context(), n))
	if where(f) != "FORWARD 2" || strings.Contains(h.run("-S", "DOCKER-USER"), "DOCKER-MCP") {
		t.Errorf("DOCKER-MCP from %q:\n%s", where(f), h.saved())
	}
	check(t, f.Remove(t.Context(), n.Uplink))
	if got := h.saved(); strings.Contains(got, "MCP") || !strings.Contains(got, "192.0.2.1") {
		t.Errorf("left:\n%s", got)
	}
}

// TestIsolation: where Docker isolates its bridges by a chain, an uplink's packets are asked there first; where the
// chain comes later, they are from the next look on.
func TestIsolation(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	check(t, f.Ensure(t.Context(), n))
	h.run("-N", "DOCKER-ISOLATION-STAGE-2")
	h.run("-A", "DOCKER-ISOLATION-STAGE-2", "-o", "docker0", "-j", "DROP")
	if !h.missing(f, n) {
		t.Error("Docker isolates its bridges now, and nothing is missing")
	}
	check(t, f.Ensure(t.Context(), n))
	rules := strings.Split(h.run("-S", "MCP-FWD-mcp-secure"), "\n")
	if want := "-A MCP-FWD-mcp-secure -i mcp-secure ! -o mcp-secure -j DOCKER-ISOLATION-STAGE-2"; len(rules) < 2 ||
		rules[1] != want {
		t.Errorf("the first rule is not %s:\n%v", want, rules)
	}
	if h.missing(f, n) {
		t.Error("something is missing")
	}
	check(t, f.Remove(t.Context(), n.Uplink))
	if got := h.saved(); strings.Contains(got, "MCP") || !strings.Contains(got, "docker0") {
		t.Errorf("left:\n%s", got)
	}
}

// TestEnsureWithoutDocker: a host without an engine's chains has the jump too, and Docker, which starts later, changes
// nothing.
func TestEnsureWithoutDocker(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	check(t, f.Ensure(t.Context(), n))
	if where(f) != "FORWARD 1" || h.missing(f, n) {
		t.Errorf("DOCKER-MCP from %q, missing %v", where(f), h.missing(f, n))
	}
	h.run("-N", "DOCKER-USER")
	h.run("-I", "FORWARD", "-j", "DOCKER-USER")
	if where(f) != "FORWARD 2" || h.missing(f, n) {
		t.Errorf("DOCKER-MCP from %q, missing %v", where(f), h.missing(f, n))
	}
	check(t, f.Remove(t.Context(), n.Uplink))
	if got := h.saved(); strings.Contains(got, "MCP") {
		t.Errorf("left:\n%s", got)
	}
}

func TestTwoNetworks(t *testing.T) {
	forVariants(t, func(t *testing.T, h *host) {
		h.run("-N", "DOCKER-USER")
		f := h.open()
		before := h.saved()
		a, b := network(t, "mcp-secure", 20, nil), network(t, "mcp-longest-nam", 21,
			map[string]string{"mcpnet.gateway.egress": "tcp/443"})
		check(t, f.Ensure(t.Context(), a))
		first := h.saved()
		check(t, f.Ensure(t.Context(), b))
		if h.missing(f, a, b) {
			t.Error("something is missing")
		}
		check(t, f.Remove(t.Context(), b.Uplink))
		if diff := cmp.Diff(first, h.saved()); diff != "" {
			t.Errorf("the other network suffers:\n%s", diff)
		}
		check(t, f.Remove(t.Context(), a.Uplink))
		if diff := cmp.Diff(before, h.saved()); diff != "" {
			t.Errorf("not as before:\n%s", diff)
		}
	})
}

// TestRemoveKeepsForeignRules: what somebody put behind ours stays, and so does its chain's other content.
func TestRemoveKeepsForeignRules(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	h.run("-A", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
	h.run("-A", "INPUT", "-i", "mcpw+", "-j", "ACCEPT")
	h.run("-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE")
	before := h.saved()
	check(t, f.Ensure(t.Context(), n))
	check(t, f.Remove(t.Context(), n.Uplink))
	if diff := cmp.Diff(before, h.saved()); diff != "" {
		t.Errorf("not as before:\n%s", diff)
	}
}

func TestMissing(t *testing.T) {
	for what, takeAway := range map[string][]string{
		"everything":          {"-F"},
		"the network's chain": {"-F", "MCP-FWD-mcp-secure"},
		"one of its rules":    {"-D", "MCP-FWD-mcp-secure", "1"},
		"the dispatcher":      {"-F", "DOCKER-MCP"},
		"the jump":            {"-D", "FORWARD", "-j", "DOCKER-MCP"},
		"NAT":                 {"-t", "nat", "-F"},
		"the jump of NAT":     {"-t", "nat", "-D", "POSTROUTING", "-j", "MCP-MASQUERADE"},
		"the masquerade":      {"-t", "nat", "-F", "MCP-NAT-mcp-secure"},
	} {
		t.Run(what, func(t *testing.T) {
			h := &host{t, testnet.New(t, "iptables"), "nft"}
			f, n := h.open(), network(t, "mcp-secure", 20, nil)
			check(t, f.Ensure(t.Context(), n))
			whole := h.saved()
			h.run(takeAway...)
			if !h.missing(f, n) {
				t.Errorf("%v goes unnoticed", takeAway)
			}
			check(t, f.Ensure(t.Context(), n))
			if diff := cmp.Diff(whole, h.saved()); diff != "" {
				t.Errorf("not mended:\n%s", diff)
			}
		})
	}
}

// TestRemoveHalf: the removal of what is half gone ends with nothing of ours.
func TestRemoveHalf(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	check(t, f.Ensure(t.Context(), n))
	h.run("-F", "DOCKER-MCP")
	h.run("-t", "nat", "-D", "POSTROUTING", "-j", "MCP-MASQUERADE")
	check(t, f.Remove(t.Context(), n.Uplink))
	if got := h.saved(); strings.Contains(got, "MCP") {
		t.Errorf("left:\n%s", got)
	}
}

// legacy puts there what commit 82bb395 had on a host with Docker: for mcp-secure ("one"), or for mcp-other too
// ("two").
func (h *host) legacy(networks string) {
	h.t.Helper()
	for _, command := range []string{"iptables", "ip6tables"} {
		text, err := os.ReadFile(filepath.Join("testdata", "82bb395", networks+"."+command))
		check(h.t, err)
		h.ns.RunInput(string(text), command+"-"+h.variant+"-restore")
	}
}

// dockerOnly is the host of legacy without mcpnet.
func (h *host) dockerOnly() {
	h.run("-N", "DOCKER-USER")
	h.run("-A", "FORWARD", "-j", "DOCKER-USER")
	h.run("-A", "DOCKER-USER", "-s", "192.0.2.1", "-j", "DROP")
}

// TestRemoveLegacy: what an earlier mcpnet had for a bridge goes, in both families, with the last the chains for all;
// what is somebody else's stays.
func TestRemoveLegacy(t *testing.T) {
	forVariants(t, func(t *testing.T, h *host) {
		h.dockerOnly()
		before := h.saved()
		f := h.open()
		for _, c := range []struct {
			networks string
			order    []string
		}{{"one", []string{"mcp-secure"}}, {"two", []string{"mcp-secure", "mcp-other"}}, {"two",
			[]string{"mcp-other", "mcp-secure"}}} {
			h.legacy(c.networks)
			there := h.saved()
			check(t, f.RemoveLegacy(t.Context(), "mcp-none"))
			if diff := cmp.Diff(there, h.saved()); diff != "" {
				t.Errorf("%s: for a bridge that never was:\n%s", c.networks, diff)
			}
			for i, bridge := range c.order {
				check(t, f.RemoveLegacy(t.Context(), bridge))
				check(t, f.RemoveLegacy(t.Context(), bridge))
				left := h.saved()
				if strings.Contains(left, "-"+bridge) || (i+1 < len(c.order)) != strings.Contains(left,
					"-"+c.order[len(c.order)-1]) {
					t.Errorf("%s, without %s:\n%s", c.networks, bridge, left)
				}
			}
			if diff := cmp.Diff(before, h.saved()); diff != "" {
				t.Errorf("%s, %v: not as before:\n%s", c.networks, c.order, diff)
			}
		}
	})
}

// TestMoveFromLegacy is what happens on a host that is brought up to date: the old chains go, the uplink's come.
func TestMoveFromLegacy(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	h.dockerOnly()
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	check(t, f.Ensure(t.Context(), n))
	want := h.saved()
	h.legacy("one")
	if !h.missing(f, n) {
		t.Error("the old rules are taken for the uplink's")
	}
	check(t, f.RemoveLegacy(t.Context(), "mcp-secure"))
	check(t, f.Ensure(t.Context(), n))
	if diff := cmp.Diff(want, h.saved()); diff != "" {
		t.Errorf("not the uplink's rules alone:\n%s", diff)
	}
}

// TestBeside makes and removes networks at once, as processes do that know nothing of each other.
func TestBeside(t *testing.T) {
	forVariants(t, func(t *testing.T, h *host) {
		h.run("-N", "DOCKER-USER")
		before := h.saved()
		stays := network(t, "mcp-stays", 19, nil)
		var group errgroup.Group
		for i := range 4 {
			f, n := h.open(), network(t, fmt.Sprint("mcp-", i), byte(20+i), nil)
			group.Go(func() error {
				for range 3 {
					if err := errors.Join(f.Ensure(t.Context(), n), f.Remove(t.Context(), n.Uplink)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		f := h.open()
		check(t, f.Ensure(t.Context(), stays))
		check(t, group.Wait())
		if h.missing(f, stays) {
			t.Errorf("others took rules along:\n%s", h.saved())
		}
		check(t, f.Remove(t.Context(), stays.Uplink))
		if diff := cmp.Diff(before, h.saved()); diff != "" {
			t.Errorf("not as before:\n%s", diff)
		}
	})
}
