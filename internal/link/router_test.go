package link_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func routerOf() link.Router {
	return link.Router{Addr: netip.MustParsePrefix("172.20.0.1/16"), MAC: topology.HardwareAddr{2, 0x6b, 172, 20, 0, 1},
		MTU: 1400, Mark: mark("4f2a9c1e")}
}

// holdsRouter holds both ends to what EnsureRouter promises.
func holdsRouter(t *testing.T, s space) {
	t.Helper()
	r := routerOf()
	near, port := s.find(t, topology.Router), s.find(t, topology.RouterPort)
	for _, l := range []link.Link{near, port} {
		if !l.Up || l.MTU != 1400 || l.Alias != r.Mark.String() || l.Type != "veth" || l.Master != 0 {
			t.Errorf("%+v", l)
		}
	}
	if near.MAC.String() != r.MAC.String() || near.Peer != port.Index || port.Peer != near.Index {
		t.Errorf("the router %+v and its port %+v", near, port)
	}
	s.settings(t, topology.Router, router)
	s.settings(t, topology.RouterPort, quiet)
	addrs, err := s.AddrsOf(topology.Router)
	check(t, err)
	if prefixes(addrs) != "[172.20.0.1/16]" {
		t.Errorf("addresses %v", addrs)
	}
	if got := s.Run("ip", "link", "show", "dev", topology.Router); !strings.Contains(got, "NOARP") {
		t.Errorf("the router asks for neighbours:\n%s", got)
	}
	if got := s.Run("ip", "-br", "addr", "show", "dev", topology.RouterPort); strings.Contains(got, "172.") {
		t.Errorf("the port has an address: %s", got)
	}
}

func TestEnsureRouter(t *testing.T) {
	s := open(t, "net")
	s.spoil("default")
	check(t, s.EnsureRouter(routerOf()))
	holdsRouter(t, s)
	first := s.Run("ip", "-d", "addr")
	check(t, s.EnsureRouter(routerOf()))
	if diff := cmp.Diff(first, s.Run("ip", "-d", "addr")); diff != "" {
		t.Errorf("a second time changes something:\n%s", diff)
	}
}

// TestEnsureRouterMends puts back whatever of the router was changed or taken away.
func TestEnsureRouterMends(t *testing.T) {
	for what, commands := range map[string][]string{
		"router down":      {"link set mcp-router down"},
		"port down":        {"link set mcp-rport down"},
		"address":          {"addr flush dev mcp-router"},
		"ARP":              {"link set mcp-router arp on"},
		"gone":             {"link del mcp-rport"},
		"hardware address": {"link set mcp-router address 02:00:00:00:00:09"},
		"marks":            {"link set mcp-router alias x", "link set mcp-rport alias x"},
	} {
		t.Run(what, func(t *testing.T) {
			s := open(t, "net")
			check(t, s.EnsureRouter(routerOf()))
			for _, c := range commands {
				s.Run("ip", strings.Fields(c)...)
			}
			check(t, s.EnsureRouter(routerOf()))
			holdsRouter(t, s)
		})
	}
	t.Run("settings", func(t *testing.T) {
		s := open(t, "net")
		check(t, s.EnsureRouter(routerOf()))
		s.spoil(topology.Router)
		s.spoil(topology.RouterPort)
		check(t, s.EnsureRouter(routerOf()))
		holdsRouter(t, s)
	})
}
