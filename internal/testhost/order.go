package testhost

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// RulesFirst gives what a front is to call before and after every step: whenever a wire is up in a network's namespace,
// the rules for it have to stand.
func RulesFirst(t testing.TB, w *testnet.World, namespace string, wires map[string]netip.Addr) func(plan.Step) {
	return func(s plan.Step) {
		in := w.Pinned(namespace)
		if _, err := os.Stat(in.Path()); err != nil {
			return // there is no wire either
		}
		defer in.Idle()
		for wire, ip := range wires {
			link, err := in.Handle().LinkByName(wire)
			if err == nil && link.Attrs().RawFlags&unix.IFF_UP != 0 && !guarded(t, in, ip) {
				t.Errorf("at %q wire %s is up without its rules", s, wire)
			}
		}
	}
}

// guarded tells whether an endpoint's identity stands in the sets, and the chains that ask for it.
func guarded(t testing.TB, in *testnet.NS, ip netip.Addr) bool {
	t.Helper()
	var conn *nftables.Conn
	check(t, in.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	}))
	defer func() { check(t, conn.CloseLasting()) }()
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyNetdev)
	if err != nil || !slices.ContainsFunc(chains, func(c *nftables.Chain) bool { return c.Name == "DOCKER-MCP" }) {
		return false
	}
	set, err := conn.GetSetByName(&nftables.Table{Family: nftables.TableFamilyNetdev, Name: "mcpnet"}, "endpoint-mac")
	if err != nil {
		return false
	}
	elements, err := conn.GetSetElements(set)
	return err == nil && slices.ContainsFunc(elements, func(e nftables.SetElement) bool { return bytes.Equal(e.Key, ip.AsSlice()) })
}
