package resident_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestOthersAddresses: whoever answers for a server's names does not lead it to private space, the host or metadata that
// the network's list opens for other servers, or on other ports. A server whose own list has the addresses is led there.
func TestOthersAddresses(t *testing.T) {
	at := map[string]string{"meta.evil.example": "169.254.169.254", "private.evil.example": "10.77.0.2",
		"host.evil.example": "198.51.100.1"}
	h := &testhost.Docker{T: t, World: testnet.NewWorld(t), Dir: t.TempDir(), Names: resident.Names{
		Resolvers: func() ([]netip.AddrPort, error) {
			return []netip.AddrPort{netip.AddrPortFrom(testnet.Resolver, 53)}, nil
		}}}
	h.World.Internet.ServeZone(netip.AddrPortFrom(testnet.Resolver, 53), func(name string) []netip.Addr {
		if a, ok := at[name]; ok {
			return []netip.Addr{netip.MustParseAddr(a)}
		}
		return nil
	})
	serve(t, h.World.NewVictim(), 2222)
	serve(t, h.World.Internet, 2222)
	serve(t, h.World.Host, 2222)
	h.Open()
	names := "meta.evil.example:2222,private.evil.example:2222,host.evil.example:2222"
	addrs := "169.254.169.254:2222,10.77.0.2:2222,198.51.100.1:2222"
	h.Network(map[string]string{policy.KeyAllow: names + "," + addrs + ",10.77.0.2:53/udp"})
	own := client{h.Narrowed("own", "172.20.240.1", names), netip.AddrPortFrom(testnet.Resolver, 53)}
	both := client{h.Narrowed("both", "172.20.240.2", names+","+addrs), own.resolver}
	for name, to := range at {
		h.Reaches(own.in, to+"/2222", false)
		if got, err := own.lookup(name); err == nil {
			h.Reaches(own.in, got[0].String()+"/2222", false)
		}
		got, err := both.lookup(name)
		h.Check(err)
		h.Reaches(both.in, got[0].String()+"/2222", true)
	}
}

// TestNextAtAddress: the next server at an address has nothing of what the last one has resolved, also where names are
// not answered any more, and none of its connections.
func TestNextAtAddress(t *testing.T) {
	for what, take := range map[string]bool{"names answered": false, "their port taken": true} {
		t.Run(what, func(t *testing.T) {
			h := newNamed(t)
			server := client{h.Container("s", "172.20.240.1", topology.RoleServer), netip.AddrPortFrom(testnet.Resolver, 53)}
			addrs, err := server.lookup("git.example.org")
			h.Check(err)
			git := netip.AddrPortFrom(addrs[0], 22)
			c, err := server.in.Dial(t.Context(), "tcp", git)
			h.Check(err)
			defer c.Close()
			from := c.LocalAddr().(*net.TCPAddr).Port
			h.Close()
			if take {
				_, err = h.Space().ListenPacket(netip.MustParseAddrPort("172.20.0.1:53"))
				h.Check(err)
			}
			h.Open()
			h.Reaches(server.in, addrs[0].String()+"/22", true)
			server.in.Run("ip", "link", "set", "eth0", "down") // no last words
			h.Check(h.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "s"))
			next := h.Narrowed("n", "172.20.240.1", "git.example.org:22")
			h.Reaches(next, addrs[0].String()+"/22", false)
			if err := dialFrom(t, next, from, git); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("on the last one's connection: %v, want a refusal", err)
			}
		})
	}
}

// dialFrom connects from a port.
func dialFrom(t *testing.T, in *testnet.NS, port int, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return in.Do(func() error {
		d := net.Dialer{LocalAddr: &net.TCPAddr{Port: port}}
		c, err := d.DialContext(ctx, "tcp4", to.String())
		if err == nil {
			c.Close()
		}
		return err
	})
}

// TestNamesGoWhileDialing: a network is removed while one of its servers' connections is being opened.
func TestNamesGoWhileDialing(t *testing.T) {
	h := newNamed(t)
	c := client{h.Container("s", "172.20.240.1", topology.RoleServer), netip.AddrPortFrom(testnet.Resolver, 53)}
	ended := make(chan error, 1)
	go func() {
		_, err := c.get("https", "nobody.cdn.example.net", "nobody.cdn.example.net")
		ended <- err
	}()
	time.Sleep(500 * time.Millisecond)
	h.Check(h.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "s"))
	h.Check(h.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
	if err := <-ended; err == nil {
		t.Error("somebody answered")
	}
	time.Sleep(4 * time.Second) // the next attempt would begin
}
