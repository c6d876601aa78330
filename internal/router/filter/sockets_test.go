package filter_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/filter"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// resolvers opens sockets to a name server in a namespace.
type resolvers struct {
	ns *testnet.NS
	at netip.AddrPort
}

func (r resolvers) Open(ctx context.Context, network string) (net.Conn, error) {
	return r.ns.Dial(ctx, network, r.at)
}

// network is a filter on loopback in a namespace, with a name server behind it. The name server says 192.0.2.80 to
// everything.
func network(t *testing.T) (*testnet.NS, *testnet.DNS, *world) {
	t.Helper()
	ns := testnet.New(t, "filter")
	ns.Up("lo")
	upstream := netip.MustParseAddrPort("127.0.0.2:53")
	behind := ns.ServeDNS(nil, "behind", upstream)
	w := newWorld()
	udp, err := ns.ListenPacket(netip.MustParseAddrPort("127.0.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := ns.Listen(netip.MustParseAddrPort("127.0.0.1:53"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- filter.Serve(ctx, w.config(func(c *filter.Config) {
			c.Packet, c.Listener, c.Upstream = udp, tcp, resolvers{ns, upstream}
		}))
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ns, behind, w
}

// TestGoResolver asks over UDP and over TCP, with a search list.
func TestGoResolver(t *testing.T) {
	ns, behind, w := network(t)
	for _, over := range []string{"udp", "tcp"} {
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ns.Dial(ctx, over, netip.MustParseAddrPort("127.0.0.1:53"))
		}}
		start := time.Now()
		addrs, err := r.LookupNetIP(t.Context(), "ip", api)
		if err != nil || len(addrs) != 1 || !w.config(nil).Pool.Contains(addrs[0].Unmap()) {
			t.Fatalf("over %s: %v, %v", over, addrs, err)
		}
		if to := w.kernel.leadsTo(addrs[0].Unmap()); !slices.Equal(to, []netip.Addr{testnet.DNSAnswer}) {
			t.Errorf("leads to %v", to)
		}
		var missing *net.DNSError
		if _, err := r.LookupNetIP(t.Context(), "ip", "evil.example.com"); !errors.As(err, &missing) || !missing.IsNotFound {
			t.Errorf("a denied name over %s: %v", over, err)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("took %s", took)
		}
	}
	if names := behind.Names(); !slices.Equal(names, []string{api + "."}) {
		t.Errorf("resolvers were asked for %q", names)
	}
}

// TestGlibc: what most images resolve with finds an allowed name after its search list has been denied, and gives up a
// denied one at once.
func TestGlibc(t *testing.T) {
	getent, err := exec.LookPath("getent")
	if err != nil {
		testnet.Lacks(t, "getent", err.Error())
	}
	ns, behind, w := network(t)
	lookup := func(name, options string) (string, time.Duration) {
		t.Helper()
		cmd := ns.Command("unshare", "--mount", "sh", "-c", `
			printf 'nameserver 127.0.0.1\nsearch corp.example internal\noptions ndots:5 `+options+`\n' > "$1/resolv.conf"
			printf 'hosts: dns\n' > "$1/nsswitch.conf"
			mount --bind "$1/resolv.conf" "$(realpath /etc/resolv.conf)" && mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf &&
			exec "$2" ahosts "$3"`, "sh", t.TempDir(), getent, name)
		start := time.Now()
		out, _ := cmd.CombinedOutput() // A name that is not found is a status.
		return strings.TrimSpace(string(out)), time.Since(start)
	}
	for _, options := range []string{"", "edns0", "use-vc"} {
		out, took := lookup(api, options)
		if !strings.HasPrefix(out, w.kernel.addressOf(api).String()+" ") || took > 4*time.Second {
			t.Errorf("options %q: %q after %s", options, out, took)
		}
		if out, took := lookup("evil.example.com", options); out != "" || took > 4*time.Second {
			t.Errorf("a denied name, options %q: %q after %s", options, out, took)
		}
	}
	if names := behind.Names(); !slices.Equal(names, []string{api + "."}) {
		t.Errorf("resolvers were asked for %q", names)
	}
	if w.count(filter.Denied, filter.NotAllowed) == 0 {
		t.Error("the search list was not denied: it was not tried")
	}
}
