package resident_test

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestSettingsAreCompared: whatever somebody sets on a wire, the bridge, the router, an uplink or a network's namespace
// is a pending step, and is put back, while connections go on.
func TestSettingsAreCompared(t *testing.T) {
	f := testhost.NewDocker(t)
	c := connect(t, f)
	wire := func(id string) string { return topology.Endpoint{ID: id, Owner: topology.OwnerDocker}.Wire() }
	server, gateway := wire("a"), wire("g")
	inside, host := f.Space(), f.World.Host
	for _, fault := range []struct {
		in    *testnet.NS
		set   string // a command, or a setting
		shows string // a command whose output tells of it
	}{
		{inside, "net.ipv4.conf." + server + ".rp_filter=0", ""},
		{inside, "net.ipv4.conf." + server + ".arp_ignore=0", ""},
		{inside, "net.ipv4.conf." + server + ".forwarding=1", ""},
		{inside, "net.ipv4.conf." + gateway + ".proxy_arp=1", ""},
		{inside, "net.ipv4.conf." + gateway + ".accept_local=1", ""},
		{inside, "net.ipv4.conf." + gateway + ".route_localnet=1", ""},
		{inside, "net.ipv4.conf.mcp-secure.arp_ignore=0", ""},
		{inside, "net.ipv4.conf.mcp-router.rp_filter=0", ""},
		{inside, "net.ipv4.conf.mcp-router.forwarding=0", ""},
		{inside, "net.ipv4.conf.mcp-rport.forwarding=1", ""},
		{inside, "net.ipv4.conf.mcp-uplink.rp_filter=1", ""},
		{inside, "net.ipv4.conf.mcp-uplink.forwarding=0", ""},
		{host, "net.ipv4.conf.mcp-secure.forwarding=0", ""},
		{host, "net.ipv4.ip_forward=0", ""},
		{inside, "net.ipv4.conf.all.rp_filter=2", ""},
		{inside, "net.ipv4.conf.all.proxy_arp=1", ""},
		{inside, "net.ipv4.conf.all.route_localnet=1", ""},
		{inside, "net.ipv4.fwmark_reflect=0", ""},
		{inside, "net.ipv4.icmp_ratelimit=1000", ""},
		{inside, "net.ipv6.conf.all.disable_ipv6=0", ""},
		{inside, "net.ipv6.conf." + server + ".disable_ipv6=0", ""},
		{inside, "ip link set " + server + " master mcp-secure", "ip -o link show dev " + server},
		{inside, "ip link set " + server + " group 2", "ip -o link show dev " + server},
		{inside, "ip link set " + server + " address 02:00:00:00:00:09", "ip -o link show dev " + server},
		{inside, "ip link set " + server + " mtu 1400", "ip -o link show dev " + server},
		{inside, "ip link set " + server + " alias theirs", "ip -o link show dev " + server},
		{inside, "ip link set " + server + " down", "ip -o link show dev " + server},
		{inside, "ip addr add 192.0.2.1/24 dev " + server, "ip -o addr show dev " + server},
		{inside, "ip link set " + gateway + " nomaster", "ip -o link show dev " + gateway},
		{inside, "ip link set " + gateway + " group 0", "ip -o link show dev " + gateway},
		{inside, "ip link set " + gateway + " alias theirs", "ip -o link show dev " + gateway},
		{inside, "bridge link set dev " + gateway + " isolated off", "bridge -d link show dev " + gateway},
		{inside, "ip addr add 192.0.2.1/24 dev mcp-secure", "ip -o addr show dev mcp-secure"},
		{inside, "ip link set mcp-secure alias theirs", "ip -o link show dev mcp-secure"},
		{inside, "ip link set mcp-secure mtu 1400", "ip -o link show dev mcp-secure"},
		{inside, "ip addr add 192.0.2.1/24 dev mcp-router", "ip -o addr show dev mcp-router"},
		{inside, "ip link set mcp-router arp on", "ip -o link show dev mcp-router"},
		{inside, "ip link set mcp-router address 02:00:00:00:00:09", "ip -o link show dev mcp-router"},
		{inside, "ip link set mcp-rport master mcp-secure", "ip -o link show dev mcp-rport"},
		{inside, "ip link set mcp-rport mtu 1400", "ip -o link show dev mcp-rport"},
		{inside, "ip link set mcp-uplink address 02:00:00:00:00:09", "ip -o link show dev mcp-uplink"},
		{inside, "ip link set mcp-uplink master mcp-secure", "ip -o link show dev mcp-uplink"},
		{inside, "ip neigh replace 169.254.1.1 lladdr 02:00:00:00:00:09 dev mcp-uplink nud permanent", "ip neigh show dev mcp-uplink"},
		{host, "ip link set mcp-secure address 02:00:00:00:00:09", "ip -o link show dev mcp-secure"},
		{host, "ip link set mcp-secure alias theirs", "ip -o link show dev mcp-secure"},
		{host, "ip link set mcp-secure mtu 1400", "ip -o link show dev mcp-secure"},
		{host, "ip addr add 192.0.2.1/24 dev mcp-secure", "ip -o addr show dev mcp-secure"},
		{host, "ip neigh del 169.254.1.1 dev mcp-secure", "ip neigh show dev mcp-secure nud permanent"},
	} {
		t.Run(fault.in.Label()+" "+fault.set, func(t *testing.T) { compared(t, f, fault.in, fault.set, fault.shows) })
	}
	c.toGateway.Moves(10 * time.Second)
	c.toServer.Moves(10 * time.Second)
	c.holds()
	f.Reaches(c.g, "198.51.100.2/443", true)
	c.toGateway.Finish()
	c.toServer.Finish()
}

// compared sets something, and wants it to be noticed and put back.
func compared(t *testing.T, f *testhost.Docker, in *testnet.NS, set, shows string) {
	t.Helper()
	if key, _, setting := strings.Cut(set, "="); setting && shows == "" {
		set, shows = "sysctl -w "+set, "sysctl "+key
	}
	run := func(command string) string {
		words := strings.Fields(command)
		// ip complains of it while another test's namespace goes.
		return strings.ReplaceAll(in.Run(words[0], words[1:]...), "Error: Peer netns reference is invalid.\n", "")
	}
	before := run(shows)
	run(set)
	if run(shows) == before {
		t.Fatalf("%s changes nothing of %s", set, before)
	}
	steps, err := f.Front.Plan(t.Context())
	if err != nil || len(steps) == 0 {
		t.Errorf("not noticed: %v", err)
	}
	for range 2 { // an address of the host's that goes is known to the network once it is gone
		_, err = f.Front.Reconcile(t.Context())
		f.Check(err)
	}
	for began := time.Now(); run(shows) != before && time.Since(began) < 2*time.Second; {
		time.Sleep(10 * time.Millisecond) // a link that was down has its carrier back in its own time
	}
	if after := run(shows); after != before {
		t.Errorf("not put back:\n%s%s", before, after)
	}
	f.Settled()
}
