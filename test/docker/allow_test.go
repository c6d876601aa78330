package docker_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestAllow is mcpnet.allow as a user writes it: a name for a network, less of it for one container. On an ordinary
// network of the same engine all of it is reached.
func TestAllow(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, l *lab) {
		l.world.Internet.ServeZone(netip.AddrPortFrom(testnet.Resolver, 53), func(name string) []netip.Addr {
			if strings.HasSuffix(name, ".example.com") {
				return []netip.Addr{testnet.InternetHost}
			}
			return nil
		})
		l.world.Internet.ServeHello(netip.AddrPortFrom(testnet.InternetHost, 80))
		l.world.Internet.ServeHello(netip.AddrPortFrom(testnet.InternetHost, 22))
		if err := os.WriteFile(
			l.Path("/etc/resolv.conf"),
			[]byte("nameserver "+testnet.Resolver.String()+"\n"),
			0o644,
		); err != nil {
			t.Fatal(err)
		}
		l.MustDocker("network", "create", "-d", "mcpnet", "--subnet", "172.31.0.0/16", "--ip-range", "172.31.240.0/20",
			"-o", "mcpnet.allow=api.example.com:80,git.example.com:22,*.cdn.example.com:80", "mcp-names")
		l.MustDocker("network", "create", "--subnet", "10.91.0.0/24", "plain")
		run := func(name, network, resolver string) {
			l.MustDocker("run", "-d", "--name", name, "--network", network, "--dns", resolver, image, "sleep", "600")
		}
		run("whole", "mcp-names", "198.18.0.1") // Docker 28 asks nobody for a container without --dns
		run("narrow", "name=mcp-names,driver-opt=mcpnet.allow=git.example.com:22", "192.0.2.53")
		run("ordinary", "plain", testnet.Resolver.String())
		for _, c := range []struct {
			url           string
			whole, narrow bool
		}{
			{"api.example.com:80", true, false}, {"git.example.com:22", true, true}, {"a.cdn.example.com:80", true, false},
			{"other.example.com:80", false, false}, {"203.0.113.10:80", false, false},
		} {
			for from, want := range map[string]bool{"whole": c.whole, "narrow": c.narrow, "ordinary": true} {
				if a := l.probe(from, "http", c.url); a.Answered != want {
					t.Errorf("%s reaches %s: %+v, want %v", from, c.url, a, want)
				}
			}
		}
	})
}
