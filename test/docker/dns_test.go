package docker_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// names is a lab in which whatever a name server anywhere is asked gets written down.
type names struct {
	*lab
	recorder *testnet.Recorder
}

// Where name servers are.
const (
	onInternet = "internet"
	onHost     = "host"
	onRouter   = "router"
)

// TestNames holds P6: no query of a server leaves the host, whatever it asks and however the host itself resolves
// names.
func TestNames(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, l *lab) {
		n := names{l, testnet.NewRecorder()}
		n.serve(l.world.Internet, onInternet, testnet.Resolver)
		n.serve(l.world.Host, onHost, netip.MustParseAddr("127.0.0.1"))
		n.serve(l.world.Host, onHost, testnet.HostAddr)
		l.MustDocker("network", "create", "--subnet", "10.90.0.0/24", "plain")
		n.serve(l.world.Host, onHost, netip.MustParseAddr("10.90.0.1"))
		l.sub("resolver elsewhere", func(l *lab) { names{l, n.recorder}.closed("elsewhere", "172.21", testnet.Resolver.String()) })
		l.sub("resolver on loopback", func(l *lab) { names{l, n.recorder}.closed("loopback", "172.22", "127.0.0.1") })
		l.sub("gateway resolves", func(l *lab) { names{l, n.recorder}.throughGateway() })
	})
}

func (n names) serve(at *testnet.NS, place string, addr netip.Addr) {
	n.t.Helper()
	at.ServeDNS(n.recorder, place, netip.AddrPortFrom(addr, 53))
}

// hostResolver makes a name server the one of the host, for containers that start later.
func (n names) hostResolver(addr string) {
	n.t.Helper()
	if err := os.WriteFile(n.Path("/etc/resolv.conf"), []byte("nameserver "+addr+"\n"), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

// forwards tells whether this Docker asks a resolver on the host's loopback by itself, from the host, for containers
// that have no way out: the limit that the README names (CVE-2024-29018, fixed in 23.0.11 and 25.0.5).
func (n names) forwards(resolver string) bool { return n.is("20.10") && resolver == "127.0.0.1" }

// asked makes a query from a container with a name of its own and tells where that name turned up.
func (n names) asked(from string, command ...string) (places []string, a attempt) {
	n.t.Helper()
	token := testnet.NewToken()
	a = n.attempt(from, append(command, token+".example")...)
	time.Sleep(100 * time.Millisecond) // a query may outlive the asker's patience
	for _, s := range n.recorder.Of(token) {
		places = append(places, s.Place)
	}
	slices.Sort(places)
	return slices.Compact(places), a
}

// closed is a network with dns=off, the default, beside an ordinary one from which the same queries do arrive.
func (n names) closed(name, prefix, resolver string) {
	n.hostResolver(resolver)
	s := n.segment(name, prefix)
	router := n.bridgeAddr(s.bridge())
	n.serve(n.space(s.bridge()), onRouter, netip.MustParseAddr(router))
	gateway, server := s.gateway("8080"), s.start("server", "3000")
	plain := name + "-plain"
	n.MustDocker(serveArgs(plain, "3000", "--network", "plain")...)

	want := onInternet
	if resolver == "127.0.0.1" {
		want = onHost
	}
	if places, a := n.asked(plain, "/bin/probe", "dns"); !slices.Contains(places, want) || !a.Answered {
		n.t.Errorf("control: a plain container's query shows up at %v, want %s: %+v", places, want, a)
	}
	places, a := n.asked(server, "/bin/probe", "dns")
	if leaks := n.forwards(resolver); leaks != (len(places) > 0) || leaks != a.Answered {
		n.t.Errorf("a server's query to 127.0.0.11 shows up at %v, want that only where Docker forwards by itself (%v): %+v", places, leaks, a)
	}
	n.direct(server, plain, router)
	for _, known := range []string{gateway, server} {
		if a := n.probe(server, "dns", known); !a.Answered {
			n.t.Errorf("%s does not resolve: %+v", known, a)
		}
	}
}

// direct asks resolvers by address, past Docker's own.
func (n names) direct(server, plain, router string) {
	n.t.Helper()
	for _, resolver := range []string{testnet.Resolver.String(), testnet.HostAddr.String(), "10.90.0.1", router} {
		for _, network := range []string{"udp", "tcp"} {
			query := []string{"/bin/peer", "query", network, resolver + ":53"}
			// The router's is in the network's namespace: nobody reaches it.
			if places, a := n.asked(plain, query...); resolver != router && len(places) == 0 {
				n.t.Errorf("control: a plain container's query over %s to %s shows up nowhere: %+v", network, resolver, a)
			}
			places, a := n.asked(server, query...)
			if a.Took > leak.AnswerLimit { // the machine may have been busy
				places, a = n.asked(server, query...)
			}
			if len(places) > 0 || a.Answered || a.Took > leak.AnswerLimit {
				n.t.Errorf("a server's query over %s to %s shows up at %v: %+v", network, resolver, places, a)
			}
		}
	}
}

// throughGateway is dns=gateway: it opens port 53 of the gateway and nothing else.
func (n names) throughGateway() {
	n.hostResolver(testnet.Resolver.String())
	s := n.segment("resolving", "172.23", "-o", "mcpnet.dns=gateway")
	gateway := s.gateway("8080 9090")
	server := s.start("server", "3000", "--dns", s.at("0.100"))
	n.serve(n.inside(gateway), "gateway", netip.MustParseAddr("0.0.0.0"))
	for _, network := range []string{"udp", "tcp"} {
		if places, a := n.asked(server, "/bin/peer", "query", network, s.at("0.100:53")); !slices.Equal(places, []string{"gateway"}) || !a.Answered {
			n.t.Errorf("a query to the gateway over %s shows up at %v: %+v", network, places, a)
		}
	}
	if places, a := n.asked(server, "/bin/probe", "dns"); !slices.Equal(places, []string{"gateway"}) || !a.Answered {
		n.t.Errorf("a query to 127.0.0.11 with --dns shows up at %v: %+v", places, a)
	}
	s.connects(server, s.at("0.100:8080"))
	s.refused(server, s.at("0.100:9090"))
	for _, network := range []string{"udp", "tcp"} {
		if places, a := n.asked(server, "/bin/peer", "query", network, testnet.Resolver.String()+":53"); len(places) > 0 || a.Answered {
			n.t.Errorf("a query past the gateway over %s shows up at %s: %+v", network, strings.Join(places, ","), a)
		}
	}
}
