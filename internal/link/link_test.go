package link_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func open(t *testing.T) (*testnet.NS, *link.Links) {
	t.Helper()
	host := testnet.New(t, "link")
	h, err := ns.Open(host.Path())
	check(t, err)
	l, err := link.Open(h)
	check(t, err)
	t.Cleanup(func() { l.Close(); h.Close() })
	return host, l
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// settings reads a link's IPv4 settings back where the kernel shows them.
func settings(t *testing.T, host *testnet.NS, name string, keys ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	check(t, host.Do(func() error {
		for _, key := range keys {
			b, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv4/conf", name, key))
			if err != nil {
				return err
			}
			out[key] = strings.TrimSpace(string(b))
		}
		return nil
	}))
	return out
}

var keys = []string{"rp_filter", "forwarding", "arp_ignore", "proxy_arp", "accept_redirects", "send_redirects", "accept_source_route",
	"arp_accept", "accept_local", "route_localnet"}

func expect(rpFilter, forwarding, arpIgnore string) map[string]string {
	out := map[string]string{}
	for _, key := range keys {
		out[key] = "0"
	}
	out["rp_filter"], out["forwarding"], out["arp_ignore"] = rpFilter, forwarding, arpIgnore
	return out
}

func bridge() link.Bridge {
	return link.Bridge{Name: "mcp-secure", Addr: netip.MustParsePrefix("172.20.0.1/16"), MTU: 1400,
		MAC: topology.HardwareAddr{2, 0x6b, 172, 20, 0, 1}, Alias: link.Alias(topology.OwnerDocker, "4f2a9c1e")}
}

func TestEnsureBridge(t *testing.T) {
	host, l := open(t)
	b := bridge()
	check(t, l.EnsureBridge(b))
	first := host.Run("ip", "addr", "show", "dev", b.Name)
	check(t, l.EnsureBridge(b))
	if diff := cmp.Diff(first, host.Run("ip", "addr", "show", "dev", b.Name)); diff != "" {
		t.Errorf("a second time changes something:\n%s", diff)
	}
	found, err := l.Find(b.Name)
	check(t, err)
	want := link.Link{Name: b.Name, Index: found.Index, Up: true, MTU: 1400, MAC: b.MAC, Alias: "mcpnet docker 4f2a9c1e", Type: "bridge"}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	if owner, id, ok := found.Owned(); owner != topology.OwnerDocker || id != "4f2a9c1e" || !ok {
		t.Errorf("owned by %q %q %v", owner, id, ok)
	}
	if diff := cmp.Diff(expect("1", "1", "1"), settings(t, host, b.Name, keys...)); diff != "" {
		t.Errorf("settings:\n%s", diff)
	}
	details := first + host.Run("ip", "-d", "link", "show", "dev", b.Name)
	for _, part := range []string{"172.20.0.1/16", "mcast_snooping 0", "stp_state 0", "addrgenmode none"} {
		if !strings.Contains(details, part) {
			t.Errorf("no %s in\n%s", part, details)
		}
	}
	if strings.Contains(first, "inet6") {
		t.Errorf("the bridge has an IPv6 address:\n%s", first)
	}
}

func TestEnsureBridgeMends(t *testing.T) {
	host, l := open(t)
	b := bridge()
	check(t, l.EnsureBridge(b))
	host.Run("ip", "addr", "flush", "dev", b.Name)
	host.Run("ip", "link", "set", b.Name, "down")
	host.Sysctl("net.ipv4.conf.mcp-secure.rp_filter", "0")
	host.Sysctl("net.ipv4.conf.mcp-secure.route_localnet", "1")
	check(t, l.EnsureBridge(b))
	if diff := cmp.Diff(expect("1", "1", "1"), settings(t, host, b.Name, keys...)); diff != "" {
		t.Errorf("settings:\n%s", diff)
	}
	if got := host.Run("ip", "-br", "addr", "show", "dev", b.Name); !strings.Contains(got, "172.20.0.1/16") {
		t.Errorf("no address: %s", got)
	}
	if found, _ := l.Find(b.Name); !found.Up {
		t.Error("down")
	}
}

func wire() link.Wire {
	return link.Wire{Name: "mcpwd0123456789", Peer: "mcpcd0123456789", PeerMAC: topology.HardwareAddr{2, 0x6b, 172, 20, 240, 1},
		MAC: topology.HardwareAddr{6, 0x6b, 172, 20, 240, 1}, MTU: 1400, Alias: link.Alias(topology.OwnerDocker, "endpoint")}
}

func TestAddWire(t *testing.T) {
	host, l := open(t)
	// What a host may have set for links to come must not reach a wire.
	host.Sysctl("net.ipv4.conf.default.forwarding", "1")
	host.Sysctl("net.ipv4.conf.default.rp_filter", "0")
	host.Sysctl("net.ipv4.conf.default.proxy_arp", "1")
	host.Sysctl("net.ipv4.conf.default.accept_source_route", "1")
	w := wire()
	made, err := l.AddWire(w)
	check(t, err)
	if made.Up || made.Master != 0 || made.MTU != 1400 || made.MAC.String() != w.MAC.String() {
		t.Errorf("%+v", made)
	}
	if diff := cmp.Diff(expect("1", "0", "8"), settings(t, host, w.Name, keys...)); diff != "" {
		t.Errorf("settings:\n%s", diff)
	}
	peer, err := l.Find(w.Peer)
	check(t, err)
	if peer.Up || peer.MTU != 1400 || peer.MAC.String() != w.PeerMAC.String() {
		t.Errorf("%+v", peer)
	}
	check(t, l.Up(w.Name))
	check(t, l.Up(w.Peer))
	if got := host.Run("ip", "-6", "addr", "show", "dev", w.Name); got != "" {
		t.Errorf("the wire has an IPv6 address:\n%s", got)
	}
	if routes := host.Run("ip", "route", "show", "table", "all", "dev", w.Name); strings.Contains(routes, "inet ") || strings.Contains(routes, "172.") {
		t.Errorf("a route leads to the wire:\n%s", routes)
	}
}

// TestAddWireTwice: a pair that a killed process left half made is finished; a name that is taken makes nothing.
func TestAddWireTwice(t *testing.T) {
	host, l := open(t)
	w := wire()
	_, err := l.AddWire(w)
	check(t, err)
	before := host.Run("ip", "link")
	host.Sysctl("net.ipv4.conf."+w.Name+".forwarding", "1")
	_, err = l.AddWire(w)
	check(t, err)
	if diff := cmp.Diff(before, host.Run("ip", "link")); diff != "" {
		t.Errorf("the wire that is there suffers:\n%s", diff)
	}
	if diff := cmp.Diff(expect("1", "0", "8"), settings(t, host, w.Name, keys...)); diff != "" {
		t.Errorf("settings:\n%s", diff)
	}
	other := wire()
	other.Name = "mcpwd9999999999"
	if _, err := l.AddWire(other); err == nil {
		t.Error("a peer's name can be taken twice")
	}
	if _, err := l.Find(other.Name); !errors.Is(err, link.ErrNotFound) {
		t.Errorf("half a wire is there: %v", err)
	}
}

func TestEnslaveUpDownDelete(t *testing.T) {
	_, l := open(t)
	b, w := bridge(), wire()
	check(t, l.EnsureBridge(b))
	_, err := l.AddWire(w)
	check(t, err)
	check(t, l.Enslave(w.Name, b.Name))
	check(t, l.Enslave(w.Name, b.Name))
	check(t, l.Up(w.Name))
	master, err := l.Find(b.Name)
	check(t, err)
	if found, _ := l.Find(w.Name); found.Master != master.Index || !found.Up {
		t.Errorf("%+v is not an active port of %d", found, master.Index)
	}
	if master.MAC.String() != b.MAC.String() {
		t.Errorf("the bridge took its port's address: %s", master.MAC)
	}
	check(t, l.Down(w.Name))
	if found, _ := l.Find(w.Name); found.Up {
		t.Error("still up")
	}
	check(t, l.Delete(w.Name))
	check(t, l.Delete(w.Name))
	for what, err := range map[string]error{"up": l.Up(w.Name), "down": l.Down(w.Name)} {
		if !errors.Is(err, link.ErrNotFound) || !strings.Contains(err.Error(), w.Name) {
			t.Errorf("%s of what is missing: %v", what, err)
		}
	}
	if err := l.Enslave(w.Name, b.Name); err == nil || !strings.Contains(err.Error(), w.Name) {
		t.Errorf("enslave what is missing: %v", err)
	}
}

func TestListAndOwners(t *testing.T) {
	host, l := open(t)
	check(t, l.EnsureBridge(bridge()))
	host.Run("ip", "link", "add", "foreign", "type", "bridge")
	host.Run("ip", "link", "set", "foreign", "alias", "mcpnet")
	owners := map[string]topology.Owner{}
	listed, err := l.List()
	check(t, err)
	for _, one := range listed {
		owners[one.Name], _, _ = one.Owned()
	}
	if diff := cmp.Diff(map[string]topology.Owner{"lo": "", "foreign": "", "mcp-secure": "docker"}, owners); diff != "" {
		t.Error(diff)
	}
}

func TestAddrInUse(t *testing.T) {
	host, l := open(t)
	host.AddBridge("other", "172.21.0.1/16", "10.1.2.3/32")
	check(t, l.EnsureBridge(bridge()))
	for prefix, want := range map[string]string{
		"172.20.0.0/16": "", "172.20.5.0/24": "", // its own
		"172.21.0.0/24": "other", "172.16.0.0/12": "other", "10.1.2.0/24": "other", "10.1.3.0/24": "", "127.0.0.0/8": "lo",
	} {
		if got, err := l.AddrInUse(netip.MustParsePrefix(prefix), "mcp-secure"); got != want || err != nil {
			t.Errorf("%s: got %q (%v), want %q", prefix, got, err, want)
		}
	}
	if got, _ := l.AddrInUse(netip.MustParsePrefix("172.20.5.0/24"), "none"); got != "mcp-secure" {
		t.Errorf("got %q", got)
	}
}
