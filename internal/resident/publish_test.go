package resident_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/hostport"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func published(port, to uint16) topology.Publication {
	return topology.Publication{HostPort: port, To: netip.AddrPortFrom(netip.Addr{}, to)}
}

// TestPublish: a published port is reached from other machines and from the host itself, and never from a wire; nothing
// else of the gateway is. It goes with the endpoint.
func TestPublish(t *testing.T) { testhost.OnBothKernels(t, testPublish) }

func testPublish(t *testing.T, f *testhost.Docker) {
	f.Network(testhost.OneGateway)
	before := f.State()
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	server := f.Container("a", "172.20.240.1", topology.RoleServer)
	serve(t, g, 8080, 9090)
	host, internet := f.World.Host, f.World.Internet
	f.Reaches(internet, "198.51.100.1/18080", false) // control
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{published(18080, 8080)}))
	f.Settled()
	f.Reaches(internet, "198.51.100.1/18080", true)
	for _, address := range []string{"198.51.100.1", "127.0.0.1"} {
		f.Reaches(host, address+"/18080", true)
	}
	// Nothing else of the gateway is open, not even for who knows its address.
	internet.AddRoute(netip.MustParsePrefix("172.20.0.0/16"), testnet.HostAddr)
	f.Reaches(internet, "172.20.0.100/8080", false)
	f.Reaches(internet, "172.20.0.100/9090", false)
	server.AddRoute(netip.Prefix{}, f.RouterAddr())
	f.Reaches(server, "198.51.100.1/18080", false)
	f.Reaches(g, "198.51.100.1/18080", false)
	f.Reaches(server, "172.20.0.100/8080", true)

	f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "a"))
	f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "g"))
	f.Same(before)
	f.Reaches(internet, "198.51.100.1/18080", false)
	f.Settled()
}

// TestPublishRepaired: what a flush on the host takes away comes back, and meanwhile the port answers all the same.
func TestPublishRepaired(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080)
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{published(18080, 8080)}))
	f.World.Host.Run("nft", "flush", "ruleset")
	f.Reaches(f.World.Internet, "198.51.100.1/18080", true)
	if steps, err := f.Front.Plan(t.Context()); err != nil || len(steps) == 0 {
		t.Errorf("after a flush: %v %v", steps, err)
	}
	if _, err := f.Front.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rules := f.World.Host.Run("nft", "list", "ruleset"); !strings.Contains(rules, "dnat ip to 172.20.0.100:8080") {
		t.Errorf("no translation:\n%s", rules)
	}
	f.Reaches(f.World.Internet, "198.51.100.1/18080", true)
	// A restarted plugin holds the port, and knows whose it is.
	f.Check(f.Front.Close())
	f.Open()
	f.Settled()
	f.Reaches(f.World.Host, "127.0.0.1/18080", true)
	f.Check(f.Front.Unpublish(t.Context(), testhost.NetworkID, "g"))
	f.Reaches(f.World.Internet, "198.51.100.1/18080", false)
	f.Settled()
}

// TestPublishRefused: what cannot be published is refused whole, and nothing of it is left.
func TestPublishRefused(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	f.Container("g", "172.20.0.100", topology.RoleGateway)
	f.Container("a", "172.20.240.1", topology.RoleServer)
	before := f.State()
	if _, err := f.World.Host.Listen(netip.MustParseAddrPort("0.0.0.0:18080")); err != nil {
		t.Fatal(err)
	}
	err := f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{published(18081, 8080), published(18080, 8080)})
	if !errors.Is(err, hostport.ErrTaken) || !strings.Contains(err.Error(), "18080") {
		t.Errorf("a port that is taken: %v", err)
	}
	f.Same(before)
	f.Reaches(f.World.Host, "127.0.0.1/18081", false)
	err = f.Front.Publish(t.Context(), testhost.NetworkID, "a", []topology.Publication{published(18081, 8080)})
	if err == nil || !strings.Contains(err.Error(), "docker network connect bridge") {
		t.Errorf("a server: %v", err)
	}
	f.Settled()
}

// TestPublishTaken: what reaches a port that another program took while the plugin was away is that program's, and
// another gateway can be published meanwhile. The port is the gateway's again when it is free.
func TestPublishTaken(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080, 8081)
	ports := []topology.Publication{published(18080, 8080), published(18081, 8081)}
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", ports))
	host, internet := f.World.Host, f.World.Internet
	f.Check(f.Front.Close())
	other, err := host.Listen(netip.MustParseAddrPort("0.0.0.0:18080"))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		for conn, err := other.Accept(); err == nil; conn, err = other.Accept() {
			got <- conn.RemoteAddr().String()
			_ = conn.Close()
		}
	}()
	f.Open()
	f.Settled()
	f.Reaches(internet, "198.51.100.1/18080", true)
	select {
	case from := <-got:
		if !strings.HasPrefix(from, testnet.InternetAddr.String()+":") {
			t.Errorf("reached from %s", from)
		}
	case <-time.After(5 * time.Second):
		t.Error("the gateway is reached at a port that another program has")
	}
	f.Reaches(internet, "198.51.100.1/18081", true)
	says := func() bool {
		s, err := f.Front.Status(t.Context())
		f.Check(err)
		return slices.ContainsFunc(s.Findings, func(f report.Finding) bool {
			return f.Code == report.CodePort && strings.Contains(f.Meaning, "18080") && strings.Contains(f.Remedy, "not reached")
		})
	}
	if !says() {
		t.Error("status says nothing of it")
	}
	f.Check(other.Close())
	if _, err := f.Front.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Settled()
	for _, address := range []string{"198.51.100.1/18080", "198.51.100.1/18081"} {
		f.Reaches(internet, address, true)
	}
	f.Reaches(host, "127.0.0.1/18080", true)
	if rules := host.Run("nft", "list", "ruleset"); says() || !strings.Contains(rules, "dnat ip to 172.20.0.100:8080") {
		t.Errorf("free again: %s", rules)
	}
}

// TestPublishStream: a stream through a published port ends neither with the plugin nor with a flush on the host.
func TestPublishStream(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	testhost.Echo(t, g, 8080)
	l, err := g.Listen(netip.MustParseAddrPort("172.20.0.100:8081"))
	if err != nil {
		t.Fatal(err)
	}
	f.Check(f.Front.Publish(t.Context(), testhost.NetworkID, "g", []topology.Publication{published(18081, 8081)}))
	conn, err := f.World.Internet.Dial(t.Context(), "tcp4", netip.MustParseAddrPort("198.51.100.1:18081"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	from, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if got := from.RemoteAddr().String(); !strings.HasPrefix(got, testnet.InternetAddr.String()+":") {
		t.Errorf("the gateway sees %s, not the client's address", got)
	}
	f.Check(f.Front.Close())
	for _, word := range []string{"one", "two"} {
		if _, err := conn.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 8)
		f.Check(from.SetReadDeadline(time.Now().Add(5 * time.Second)))
		if n, err := from.Read(buf); err != nil || string(buf[:n]) != word {
			t.Errorf("%q %v", buf[:n], err)
		}
	}
}
