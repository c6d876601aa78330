package leak

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// otherGateway is where the second network's gateway is.
var otherGateway = netip.MustParseAddr("172.21.0.100")

// addOtherNetwork adds a second network to a host, with a gateway that serves on ports that its policy does not permit.
func addOtherNetwork(t *testing.T, m *Mcpnet) *testnet.NS {
	t.Helper()
	const id = "5555555555554f2a9c1e7b3d4f2a9c1e7b3d4f2a9c1e7b3d4f2a9c1e7b3d4f2a"
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.21.0.100:8080", policy.KeyBridge: "mcp-other"})
	m.must(err, "policy")
	n := topology.Network{ID: id, Bridge: "mcp-other", Subnet: netip.MustParsePrefix("172.21.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.21.0.1"), Policy: p}
	ctx := context.Background()
	m.must(m.Engine.CreateNetwork(ctx, n), "network")
	_, err = m.Engine.CreateEndpoint(ctx, topology.Endpoint{ID: "other-gateway", NetworkID: id, IP: otherGateway,
		Role: topology.RoleGateway})
	m.must(err, "endpoint")
	a, err := m.Engine.Join(ctx, id, "other-gateway")
	m.must(err, "join")
	c := testnet.New(t, "other")
	m.w.Host.Give(a.Name, c, "eth0")
	c.AddAddr("eth0", netip.PrefixFrom(otherGateway, n.Subnet.Bits()).String())
	c.Up("eth0")
	c.AddRoute(netip.Prefix{}, a.Gateway)
	for _, port := range []uint16{22, 80, 443} {
		c.ServeHello(netip.AddrPortFrom(netip.IPv4Unspecified(), port))
	}
	return c
}

// dials reports whether a connection comes about.
func dials(from *testnet.NS, to netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", to)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// TestOtherNetworks: nobody but the host itself opens a connection to a gateway from outside its network: no gateway of
// another network, and no container or machine that the host hides behind its own address.
func TestOtherNetworks(t *testing.T) {
	t.Parallel()
	seat, f := NewSeat(t, "other", NewMcpnet(t, map[string]string{policy.KeyEgressTo: "any"}))
	addOtherNetwork(t, f.(*Mcpnet))
	host := seat.World.Host
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(otherGateway, port) }
	host.Run("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "!", "-o", "mcp-secure", "-j", "MASQUERADE")
	seat.World.Internet.AddRoute(netip.MustParsePrefix("172.21.0.0/16"), testnet.HostAddr)
	if !dials(host, at(443)) {
		t.Fatal("control: the host does not reach its gateway")
	}
	reach := func() (who []string) {
		for name, from := range map[string]*testnet.NS{"a gateway of another network": seat.Gateway.NS,
			"a container of another bridge": seat.Victim, "a machine outside": seat.World.Internet} {
			if dials(from, at(443)) {
				who = append(who, name)
			}
		}
		return who
	}
	if who := reach(); len(who) > 0 {
		t.Errorf("the other network's gateway is reached by %v", who)
	}
	host.Run("nft", "delete", "table", "inet", "mcpnet")
	host.Run("iptables", "-w", "-P", "FORWARD", "ACCEPT")
	host.Run("iptables", "-w", "-F", "FORWARD")
	host.Run("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE")
	if who := reach(); len(who) < 3 {
		t.Errorf("control: without mcpnet's rules on a host that hides everybody, only %v reach it", who)
	}
}

// TestAddressOfAGateway: a container in quarantine gets nothing that is meant for the gateway that had its address.
func TestAddressOfAGateway(t *testing.T) {
	t.Parallel()
	seat, f := NewSeat(t, "candidate", NewMcpnet(t, nil))
	internet, err := seat.World.Internet.ListenPacket(netip.AddrPortFrom(testnet.InternetHost, 53))
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := seat.Gateway.NS.ListenPacket(netip.AddrPortFrom(GatewayIP, 5555))
	if err != nil {
		t.Fatal(err)
	}
	fromHost, err := seat.World.Host.ListenPacket(netip.MustParseAddrPort("0.0.0.0:0"))
	if err != nil {
		t.Fatal(err)
	}
	r := testnet.NewRecorder()
	seat.Gateway.NS.Sniff(r, testnet.Sniff{Place: "gateway"})
	if _, err := gateway.WriteTo([]byte("query"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(testnet.InternetHost, 53))); err != nil {
		t.Fatal(err)
	}
	if err := internet.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, flow, err := internet.ReadFrom(make([]byte, 64))
	if err != nil {
		t.Fatalf("control: no egress: %v", err)
	}
	arrive := func(place string) (seen []string) {
		answer, call := testnet.NewToken(), testnet.NewToken()
		if _, err := internet.WriteTo([]byte(answer), flow); err != nil {
			t.Fatal(err)
		}
		if _, err := fromHost.WriteTo([]byte(call), net.UDPAddrFromAddrPort(netip.AddrPortFrom(GatewayIP, 5555))); err != nil {
			t.Fatal(err)
		}
		if r.Wait(answer, place, 400*time.Millisecond) {
			seen = append(seen, "an answer of the internet")
		}
		if r.Wait(call, place, 400*time.Millisecond) {
			seen = append(seen, "a datagram of the host")
		}
		return seen
	}
	if seen := arrive("gateway"); len(seen) < 2 {
		t.Errorf("control: the gateway itself gets only %v", seen)
	}
	f.Detach(seat.Gateway)
	candidate := testnet.New(t, "candidate")
	f.Attach(candidate, GatewayIP, CandidateRole)
	candidate.Sniff(r, testnet.Sniff{Place: "candidate"})
	if seen := arrive("candidate"); len(seen) > 0 {
		t.Errorf("a container in quarantine gets %v", seen)
	}
}

// TestTakesNothing: after a reboot somebody else has the uplink's name or the network's subnet. It stays theirs.
func TestTakesNothing(t *testing.T) {
	for name, take := range map[string]func(*testnet.NS){
		"a veth of the uplink's name": func(h *testnet.NS) {
			h.Run("ip", "link", "add", "mcp-secure", "type", "veth", "peer", "name", "theirs")
		},
		"a bridge with the subnet": func(h *testnet.NS) {
			h.AddBridge("br-theirs", "172.20.0.1/16")
			h.Up("br-theirs")
		},
		"a route to the subnet": func(h *testnet.NS) {
			h.Run("ip", "route", "add", "172.20.0.0/16", "via", testnet.InternetAddr.String())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := testnet.NewWorld(t)
			m := NewMcpnet(t, nil)(w).(*Mcpnet)
			m.must(m.Engine.Close(), "close")
			w.Host.Run("umount", w.Pins+"/mcp-secure")
			for end := time.Now().Add(time.Minute); hasLink(w.Host, "mcp-secure"); time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the uplink outlives its namespace")
				}
			}
			take(w.Host)
			look := func() string { return w.Host.Run("ip", "-br", "link") + w.Host.Run("ip", "route") }
			before := look()
			m.start() // the network cannot come back whole: that is logged, and nothing is taken
			after := look()
			for line := range strings.Lines(before) {
				if first, _, _ := strings.Cut(strings.TrimSpace(line), " "); !strings.Contains(after, first) {
					t.Errorf("taken from somebody: %s\nafter:\n%s", line, after)
				}
			}
			if name != "a veth of the uplink's name" && strings.Contains(after, "172.20.0.0/16 via 169.254.1.1") {
				t.Errorf("the subnet leads to the network now:\n%s", after)
			}
		})
	}
}

func hasLink(ns *testnet.NS, name string) bool {
	_, err := ns.Output("ip", "link", "show", name)
	return err == nil
}
