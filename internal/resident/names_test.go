package resident_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// named is a network whose servers may reach a few names.
var named = map[string]string{
	policy.KeyGateway: "172.20.0.100:8080",
	policy.KeyAllow:   "api.example.com,*.cdn.example.net,git.example.org:22,stream.example.org:2222,plain.example.com:80",
}

// zone is what the internet's resolver says.
var zone = map[string]string{
	"api.example.com":    "203.0.113.10",
	"a.cdn.example.net":  "203.0.113.10",
	"git.example.org":    "203.0.113.10",
	"stream.example.org": "203.0.113.10",
	"plain.example.com":  "203.0.113.10",
	"b.cdn.example.net":  "10.77.0.2",
	"c.cdn.example.net":  "198.51.100.1", "nobody.cdn.example.net": "198.51.100.50",
	"other.example.com": "203.0.113.10",
}

func zoneOf(name string) []netip.Addr {
	if a, ok := zone[name]; ok {
		return []netip.Addr{netip.MustParseAddr(a)}
	}
	return nil
}

// newNamed is a host with the network, and an internet that answers for every name.
func newNamed(t *testing.T) *testhost.Docker {
	t.Helper()
	return newNamedBy(t, nil)
}

// newNamedBy has another program read what servers send.
func newNamedBy(t *testing.T, program []string) *testhost.Docker {
	t.Helper()
	h := &testhost.Docker{T: t, World: testnet.NewWorld(t), Dir: t.TempDir(), Names: resident.Names{Command: program,
		Resolvers: func() ([]netip.AddrPort, error) {
			return []netip.AddrPort{netip.AddrPortFrom(testnet.Resolver, 53)}, nil
		}}}
	h.World.Internet.ServeZone(netip.AddrPortFrom(testnet.Resolver, 53), zoneOf)
	serve(t, h.World.Internet, 22, 8443)
	secure(t, h.World.Internet)
	serve(t, h.World.Host, 443, 80)
	h.Open()
	h.Network(named)
	return h
}

// secure serves HTTPS and HTTP, with the name that was asked for as the answer.
func secure(t *testing.T, in *testnet.NS) {
	t.Helper()
	answer := http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello "+r.Host) },
	)
	for _, port := range []uint16{443, 80} {
		l, err := in.Listen(netip.AddrPortFrom(testnet.InternetHost, port))
		if err != nil {
			t.Fatal(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: answer}}
		if port == 443 {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
	}
}

// client is a program in a server's container: its resolver is the given one, whatever that is.
type client struct {
	in       *testnet.NS
	resolver netip.AddrPort
}

func (c client) lookup(name string) ([]netip.Addr, error) {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return c.in.Dial(ctx, network, c.resolver)
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return r.LookupNetIP(ctx, "ip4", name)
}

// get asks for https://NAME/, of the address that the name resolves to, with another server name if one is given.
func (c client) get(scheme, name, asks string) (string, error) {
	addrs, err := c.lookup(name)
	if err != nil {
		return "", err
	}
	return c.getAt(scheme, addrs[0], asks)
}

func (c client) getAt(scheme string, at netip.Addr, asks string) (string, error) {
	port := map[string]uint16{"https": 443, "http": 80}[scheme]
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return c.in.Dial(ctx, network, netip.AddrPortFrom(at, port))
	}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: asks}}
	defer transport.CloseIdleConnections()
	got, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Get(scheme + "://" + asks + "/")
	if err != nil {
		return "", err
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	return string(body), err
}

// TestNames: a server reaches the names that the list says, whichever resolver it asks, and nothing else at their
// addresses.
func TestNames(t *testing.T) {
	h := newNamed(t)
	server := client{h.Container("s", "172.20.240.1", topology.RoleServer), netip.AddrPortFrom(testnet.Resolver, 53)}
	for _, c := range []struct{ scheme, name, asks, want string }{
		{"https", "api.example.com", "api.example.com", "hello api.example.com"},
		{"https", "API.example.com", "api.example.com", "hello api.example.com"},
		{"http", "plain.example.com", "plain.example.com", "hello plain.example.com"},
		{"https", "a.cdn.example.net", "a.cdn.example.net", "hello a.cdn.example.net"},
		{"https", "api.example.com", "other.example.com", ""}, // another name of the same address
		{"https", "api.example.com", "a.cdn.example.net", ""}, // also one that is allowed itself
		{"http", "plain.example.com", "other.example.com", ""},
		{"http", "api.example.com", "api.example.com", ""}, // port 80 of a name for 443
		{"https", "other.example.com", "other.example.com", ""},
		{"https", "b.cdn.example.net", "b.cdn.example.net", ""}, // leads to a private address
		{"https", "c.cdn.example.net", "c.cdn.example.net", ""}, // leads to the host
	} {
		got, err := server.get(c.scheme, c.name, c.asks)
		if got != c.want {
			t.Errorf("%s to %s for %s: %q, %v; want %q", c.scheme, c.name, c.asks, got, err, c.want)
		}
	}
	for _, resolver := range []string{"8.8.8.8:53", "172.20.0.1:53", "169.254.169.254:53", "198.51.100.1:53"} {
		server.resolver = netip.MustParseAddrPort(resolver)
		if got, err := server.lookup("api.example.com"); err != nil || !policy.NamePool.Contains(got[0]) {
			t.Errorf("resolver %s: %v, %v", resolver, got, err)
		}
	}
	addrs, err := server.lookup("git.example.org")
	h.Check(err)
	h.Reaches(server.in, addrs[0].String()+"/22", true)
	h.Reaches(server.in, addrs[0].String()+"/8443", false)
	h.Reaches(server.in, "203.0.113.10/443", false) // the name's own address
	h.Reaches(server.in, "203.0.113.10/22", false)
	if _, err := server.lookup("secret.attacker.example"); !isNotFound(err) {
		t.Errorf("a name that is not allowed: %v, want that it does not exist", err)
	}
	h.Settled()
}

func isNotFound(err error) bool {
	var d *net.DNSError
	return errors.As(err, &d) && d.IsNotFound
}
