package engines_test

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// perCall are the surfaces without a process of mcpnet's, unless its service runs.
func perCall() []surface {
	return slices.DeleteFunc(slices.Clone(surfaces), func(s surface) bool { return strings.HasPrefix(s.name, "docker") })
}

// TestFlush: no rule on the host holds a promise, so that a flush of its firewall changes nothing for servers.
// Without the rules of the network's own namespace they are dead, until the next container is attached or the service
// repairs.
func TestFlush(t *testing.T) {
	for _, s := range perCall() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			world := testnet.NewWorld(t)
			l := s.open(t, world)
			scenery(t, world)
			l.network(defaultPolicy())
			gateway, server := l.gateway("gateway"), l.server("server", leak.AttackerIP)
			listen(t, gateway, "tcp", leak.GatewayPort, port)
			listen(t, gateway, "udp", port)
			listen(t, server, "tcp", port)
			waitFor(t, "the first answer", func() bool { return reachesGateway(server) }) // a new link drops frames for a moment
			wantServer(t, "at first", server)
			flush(t, world.Host)
			wantServer(t, "the host's firewall is flushed", server)
			flush(t, space(t, l))
			wantDead(t, "the namespace's rules are flushed", server)
			l.server("neighbour", leak.PeerIP)
			wantServer(t, "another container is attached", server)
			startService(t, l.(executor))
			flush(t, space(t, l))
			wantRepaired(t, "the service runs", server)
			must(t, l.(executor), "ip", "link", "delete", uplinkOf(t, world))
			waitFor(t, "the uplink is back", func() bool { return dialText(gateway, testnet.InternetHost.String()+":443") })
			l.remove("gateway", "server", "neighbour")
			wantNothing(t, world, l.(executor))
		})
	}
}

// flush removes all rules of a namespace's firewall, as a reload of the host's does.
func flush(t *testing.T, ns *testnet.NS) {
	t.Helper()
	ns.Run("nft", "flush", "ruleset")
	for _, table := range []string{"filter", "nat", "mangle", "raw"} {
		_, _ = ns.Output("iptables", "-w", "-t", table, "-F")
	}
}

// uplinkOf is the network's link on the host: with its bridge's name, or its own where that is another plugin's.
func uplinkOf(t *testing.T, w *testnet.World) string {
	t.Helper()
	links, err := w.Host.Links()
	if err != nil {
		t.Fatal(err)
	}
	name := networkName
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "mcpu") {
			name = l.Attrs().Name
		}
	}
	return name
}

// wantServer tries everything that a server could try under the default policy.
func wantServer(t *testing.T, when string, server *testnet.NS) {
	t.Helper()
	for _, a := range attempts {
		if a.who != "server" {
			continue
		}
		through, took := a.ask(server)
		if want := slices.Contains(policies[0].through, a.String()); through != want || took > leak.AnswerLimit {
			t.Errorf("%s: %s: gets through: %v, want %v, after %v", when, a, through, want, took)
		}
	}
}

func wantDead(t *testing.T, when string, server *testnet.NS) {
	t.Helper()
	var all sync.WaitGroup
	for _, to := range []netip.Addr{leak.GatewayIP, leak.BridgeAddr, leak.PeerIP, testnet.HostAddr, testnet.InternetHost} {
		for _, p := range []uint16{leak.GatewayPort, port, 443} {
			all.Go(func() {
				if target := netip.AddrPortFrom(to, p); dialText(server, target.String()) {
					t.Errorf("%s: a server reaches %s", when, target)
				}
			})
		}
	}
	all.Wait()
}

// wantRepaired waits for the service. It takes milliseconds; a busy machine takes longer.
func wantRepaired(t *testing.T, when string, server *testnet.NS) {
	t.Helper()
	waitFor(t, when, func() bool { return reachesGateway(server) })
	wantServer(t, when, server)
}

func reachesGateway(server *testnet.NS) bool {
	return dialText(server, netip.AddrPortFrom(leak.GatewayIP, leak.GatewayPort).String())
}

// waitFor waits for less time than the service takes between two looks without a reason.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 5*time.Second {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}
