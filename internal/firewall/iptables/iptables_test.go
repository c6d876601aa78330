package iptables_test

import (
	"errors"
	"fmt"
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
	missing, err := f.Missing(networks...)
	check(h.t, err)
	return missing
}

// where is the place of DOCKER-MCP for IPv4.
func where(f *iptables.Firewall) string {
	p := f.Where()["iptables"]
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
		if !h.missing(f, n) {
			t.Error("nothing is there, and nothing is missing")
		}
		check(t, f.Ensure(t.Context(), n))
		after := h.saved()
		if h.missing(f, n) || where(f) != "DOCKER-USER 1" {
			t.Errorf("missing %v, DOCKER-MCP from %q", h.missing(f, n), where(f))
		}
		check(t, f.Ensure(t.Context(), n))
		if diff := cmp.Diff(after, h.saved()); diff != "" {
			t.Errorf("a second time changes something:\n%s", diff)
		}
		if rules := h.run("-S", "DOCKER-USER"); !strings.HasPrefix(rules, "-N DOCKER-USER\n-A DOCKER-USER -j DOCKER-MCP\n") {
			t.Errorf("DOCKER-MCP does not come first:\n%s", rules)
		}
		check(t, f.Remove(t.Context(), n.Bridge))
		check(t, f.Remove(t.Context(), n.Bridge))
		if diff := cmp.Diff(before, h.saved()); diff != "" {
			t.Errorf("not as before:\n%s", diff)
		}
	})
}

func TestEnsureWithoutDocker(t *testing.T) {
	h := &host{t, testnet.New(t, "iptables"), "nft"}
	f, n := h.open(), network(t, "mcp-secure", 20, nil)
	check(t, f.Ensure(t.Context(), n))
	if where(f) != "FORWARD 1" || h.missing(f, n) {
		t.Errorf("DOCKER-MCP from %q, missing %v", where(f), h.missing(f, n))
	}
	// Docker starts later: its chain is the place from then on.
	h.run("-N", "DOCKER-USER")
	h.run("-I", "FORWARD", "-j", "DOCKER-USER")
	if !h.missing(f, n) {
		t.Error("nothing leads there from DOCKER-USER, and nothing is missing")
	}
	check(t, f.Ensure(t.Context(), n))
	if where(f) != "DOCKER-USER 1" {
		t.Errorf("DOCKER-MCP from %q", where(f))
	}
	check(t, f.Remove(t.Context(), n.Bridge))
	if got := h.saved(); strings.Contains(got, "MCP") {
		t.Errorf("left:\n%s", got)
	}
}

func TestTwoNetworks(t *testing.T) {
	forVariants(t, func(t *testing.T, h *host) {
		h.run("-N", "DOCKER-USER")
		f := h.open()
		before := h.saved()
		a, b := network(t, "mcp-secure", 20, nil), network(t, "mcp-longest-nam", 21, map[string]string{"mcpnet.gateway.egress": "off"})
		check(t, f.Ensure(t.Context(), a))
		first := h.saved()
		check(t, f.Ensure(t.Context(), a, b))
		if h.missing(f, a, b) {
			t.Error("something is missing")
		}
		check(t, f.Remove(t.Context(), b.Bridge))
		if diff := cmp.Diff(first, h.saved()); diff != "" {
			t.Errorf("the other network suffers:\n%s", diff)
		}
		check(t, f.Remove(t.Context(), a.Bridge))
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
	check(t, f.Remove(t.Context(), n.Bridge))
	if diff := cmp.Diff(before, h.saved()); diff != "" {
		t.Errorf("not as before:\n%s", diff)
	}
}

func TestMissing(t *testing.T) {
	for what, takeAway := range map[string][]string{
		"everything":          {"iptables-nft", "-F"},
		"the network's chain": {"iptables-nft", "-F", "MCP-FWD-mcp-secure"},
		"the dispatcher":      {"iptables-nft", "-F", "DOCKER-MCP"},
		"the jump":            {"iptables-nft", "-D", "FORWARD", "-j", "DOCKER-MCP"},
		"the wires' rule":     {"iptables-nft", "-D", "MCP-INPUT", "-i", "mcpw+", "-j", "DROP"},
		"NAT":                 {"iptables-nft", "-t", "nat", "-F"},
		"IPv6":                {"ip6tables-nft", "-F"},
	} {
		t.Run(what, func(t *testing.T) {
			h := &host{t, testnet.New(t, "iptables"), "nft"}
			f, n := h.open(), network(t, "mcp-secure", 20, nil)
			check(t, f.Ensure(t.Context(), n))
			whole := h.saved()
			h.ns.Run(takeAway[0], takeAway[1:]...)
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
	h.run("-D", "INPUT", "-j", "MCP-INPUT")
	check(t, f.Remove(t.Context(), n.Bridge))
	if got := h.saved(); strings.Contains(got, "MCP") {
		t.Errorf("left:\n%s", got)
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
					if err := errors.Join(f.Ensure(t.Context(), n), f.Remove(t.Context(), n.Bridge)); err != nil {
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
		check(t, f.Remove(t.Context(), stays.Bridge))
		if diff := cmp.Diff(before, h.saved()); diff != "" {
			t.Errorf("not as before:\n%s", diff)
		}
	})
}
