package link_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func wire() link.Wire {
	return link.Wire{Name: "mcpw0123456789a", Peer: "eth0", PeerMAC: topology.HardwareAddr{2, 0x6b, 172, 20, 240, 1},
		MAC: topology.HardwareAddr{6, 0x6b, 172, 20, 240, 1}, MTU: 1400, Mark: mark("endpoint")}
}

func TestAddWire(t *testing.T) {
	for role, group := range map[topology.Role]uint32{topology.RoleServer: topology.GroupServer,
		topology.RoleGateway: topology.GroupGateway} {
		t.Run(string(role), func(t *testing.T) {
			s, c := open(t, "net"), open(t, "container")
			s.spoil("default")
			w := wire()
			w.Group = group
			_, err := s.AddWire(w, c.handle)
			check(t, err)
			made, peer := s.find(t, w.Name), c.find(t, w.Peer)
			if made.Up || made.Master != 0 || made.MTU != 1400 || made.MAC.String() != w.MAC.String() ||
				made.Group != group ||
				made.Alias != w.Mark.String() {
				t.Errorf("%+v", made)
			}
			s.settings(t, w.Name, quiet)
			if peer.Up || peer.MTU != 1400 || peer.MAC.String() != w.PeerMAC.String() || !made.EndsAt(peer) ||
				peer.Alias != "" {
				t.Errorf("%+v", peer)
			}
			check(t, s.Up(w.Name))
			check(t, c.Up(w.Peer))
			if got := s.Run("ip", "-6", "addr", "show", "dev", w.Name); got != "" {
				t.Errorf("the wire has an IPv6 address:\n%s", got)
			}
			routes := s.Run("ip", "route", "show", "table", "all", "dev", w.Name)
			if strings.Contains(routes, "inet ") || strings.Contains(routes, "172.") {
				t.Errorf("a route leads to the wire:\n%s", routes)
			}
		})
	}
}

// TestAddWireTwice: a pair that a killed process left half made is finished; a name that is taken makes nothing.
func TestAddWireTwice(t *testing.T) {
	s, c := open(t, "net"), open(t, "container")
	w := wire()
	_, err := s.AddWire(w, c.handle)
	check(t, err)
	before := s.Run("ip", "link") + c.Run("ip", "link")
	s.Run("ip", "link", "set", w.Name, "alias", "", "group", "7")
	s.spoil(w.Name)
	_, err = s.AddWire(w, c.handle)
	check(t, err)
	if diff := cmp.Diff(before, s.Run("ip", "link")+c.Run("ip", "link")); diff != "" {
		t.Errorf("the wire that is there suffers:\n%s", diff)
	}
	s.settings(t, w.Name, quiet)
	other := wire()
	other.Name = "mcpw9999999999a"
	_, err = s.AddWire(other, c.handle)
	if !errors.Is(err, link.ErrPeerExists) || !strings.Contains(err.Error(), "interface eth0") {
		t.Errorf("a peer's name can be taken twice: %v", err)
	}
	if _, err := s.Find(other.Name); !errors.Is(err, link.ErrNotFound) {
		t.Errorf("half a wire is there: %v", err)
	}
}

// TestWireLeadsNowhere: without any rule a wire is dead. The namespace answers no ARP on it and takes nothing from it.
func TestWireLeadsNowhere(t *testing.T) {
	s, c := open(t, "net"), open(t, "container")
	check(t, link.Prepare(s.handle))
	check(t, s.EnsureRouter(routerOf()))
	w := wire()
	_, err := s.AddWire(w, c.handle)
	check(t, err)
	check(t, s.Up(w.Name))
	c.in.AddAddr("eth0", "172.20.240.1/16")
	c.in.Up("eth0")
	router := netip.MustParseAddrPort("172.20.0.1:9")
	stack, err := s.in.ListenPacket(router)
	check(t, err)
	arrives := func() bool {
		t.Helper()
		conn, err := c.in.Dial(t.Context(), "udp", router)
		check(t, err)
		defer conn.Close()
		_, _ = conn.Write([]byte("x"))
		check(t, stack.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
		_, _, err = stack.ReadFrom(make([]byte, 8))
		return err == nil
	}
	if arrives() || strings.Contains(c.Run("ip", "neigh"), "lladdr") {
		t.Errorf("ARP is answered: %s", c.Run("ip", "neigh"))
	}
	// Who knows the hardware address is not taken either: no route leads back over the wire.
	c.Run("ip", "neigh", "replace", "172.20.0.1", "lladdr", w.MAC.String(), "dev", "eth0", "nud", "permanent")
	if arrives() {
		t.Error("the stack takes it from whoever knows the wire's hardware address")
	}
	s.Sysctl("net.ipv4.conf."+w.Name+".rp_filter", "0")
	if !arrives() {
		t.Error("nothing arrives without the filter either, so this test tests nothing")
	}
}

// TestGiveAndTake: the host end of a pair that another plugin made becomes a wire, and goes back, down each time.
func TestGiveAndTake(t *testing.T) {
	host, s, c := open(t, "host"), open(t, "net"), open(t, "container")
	host.AddBridge("cni0")
	host.Run("ip", "link", "add", "veth1", "mtu", "1400", "type", "veth", "peer", "name", "peer1")
	host.in.Give("peer1", c.in, "eth0")
	host.in.Enslave("veth1", "cni0")
	host.in.Up("veth1")
	w := wire()
	check(t, host.Give("veth1", s.handle, w.Name))
	if found := s.find(t, w.Name); found.Up || found.Master != 0 || !found.EndsAt(c.find(t, "eth0")) {
		t.Errorf("%+v", found)
	}
	_, err := s.TakeWire(w)
	check(t, err)
	s.settings(t, w.Name, quiet)
	if found := s.find(t, w.Name); found.Alias != w.Mark.String() || found.Group != w.Group {
		t.Errorf("%+v", found)
	}
	check(t, s.Up(w.Name))
	check(t, s.Give(w.Name, host.handle, w.Name))
	if found := host.find(t, w.Name); found.Up || found.Master != 0 || !found.EndsAt(c.find(t, "eth0")) {
		t.Errorf("given back: %+v", found)
	}
	if _, err := s.Find(w.Name); !errors.Is(err, link.ErrNotFound) {
		t.Errorf("still there: %v", err)
	}
}

// TestGiveTaken: a name that somebody has there is no wire, and the end stays here, down.
func TestGiveTaken(t *testing.T) {
	host, s := open(t, "host"), open(t, "net")
	host.Run("ip", "link", "add", "veth1", "type", "veth", "peer", "name", "peer1")
	s.Run("ip", "link", "add", wire().Name, "type", "bridge")
	if err := host.Give("veth1", s.handle, wire().Name); err == nil || !strings.Contains(err.Error(), "veth1") {
		t.Errorf("got %v", err)
	}
	if found := s.find(t, wire().Name); found.Type != "bridge" {
		t.Errorf("%+v", found)
	}
}

func TestSetGroup(t *testing.T) {
	s, c := open(t, "net"), open(t, "container")
	w := wire()
	_, err := s.AddWire(w, c.handle)
	check(t, err)
	for _, group := range []uint32{topology.GroupGateway, topology.GroupServer, topology.GroupGateway} {
		check(t, s.SetGroup(w.Name, group))
		if found := s.find(t, w.Name); found.Group != group {
			t.Errorf("group %d, want %d", found.Group, group)
		}
	}
}

// TestSmallMTU: the kernel takes IPv6 off links whose packets are too small for it, with the settings that would keep
// it off.
func TestSmallMTU(t *testing.T) {
	const small = 576
	net, host, c := open(t, "net"), open(t, "host"), open(t, "container")
	b, r, u, w := bridge(), routerOf(), uplinkOf(), wire()
	b.MTU, r.MTU, u.MTU, w.MTU = small, small, small, small
	check(t, net.EnsureBridge(b))
	check(t, net.EnsureRouter(r))
	check(t, net.EnsureUplink(u, host.Links, host.handle))
	_, err := net.AddWire(w, c.handle)
	check(t, err)
	for _, name := range []string{b.Name, topology.Router, topology.RouterPort, topology.UplinkPort, w.Name} {
		if found := net.find(t, name); found.MTU != small || found.Alias == "" {
			t.Errorf("%+v", found)
		}
		if got := net.read(t, "net/ipv4/conf/"+name, "arp_ignore"); got["arp_ignore"] != "8" {
			t.Errorf("%s has no settings: %v", name, got)
		}
	}
}
