package link_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func uplinkOf() link.Uplink {
	return link.Uplink{Name: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		Outer: topology.HardwareAddr{2, 0x6b, 169, 254, 1, 1},
		Inner: topology.HardwareAddr{2, 0x6b, 169, 254, 1, 2}, MTU: 1400, Mark: mark("4f2a9c1e")}
}

func holdsUplink(t *testing.T, net, host space, want bool) {
	t.Helper()
	if got, err := net.UplinkHolds(uplinkOf(), host.Links); got != want || err != nil {
		t.Errorf("holds %v (%v), want %v", got, err, want)
	}
}

// wholeUplink holds both ends, their routes and neighbours to what EnsureUplink promises.
func wholeUplink(t *testing.T, net, host space) {
	t.Helper()
	u := uplinkOf()
	outer, inner := host.find(t, u.Name), net.find(t, topology.UplinkPort)
	for _, l := range []link.Link{outer, inner} {
		if !l.Up || l.MTU != 1400 || l.Alias != u.Mark.String() || l.Type != "veth" {
			t.Errorf("%+v", l)
		}
	}
	if !outer.EndsAt(inner) || outer.MAC.String() != u.Outer.String() || inner.MAC.String() != u.Inner.String() {
		t.Errorf("ends %+v and %+v", outer, inner)
	}
	host.settings(t, u.Name, uplink)
	net.settings(t, topology.UplinkPort, uplink)
	for _, c := range []struct {
		in      space
		command string
		want    string
	}{
		{host, "-br addr show dev mcp-secure", ""}, {net, "-br addr show dev mcp-uplink", ""},
		{host, "route show dev mcp-secure", "172.20.0.0/16 via 169.254.1.1 onlink"},
		{net, "route show dev mcp-uplink", ""}, // nothing finds the way out without the mark
		{net, "route show dev mcp-uplink table 100", "default via 169.254.1.1 onlink"},
		{net, "rule show priority 40000", "40000:\tfrom all fwmark 0x4 lookup 100"},
		{host, "neigh show dev mcp-secure", "169.254.1.1 lladdr 02:6b:a9:fe:01:02 PERMANENT"},
		{net, "neigh show dev mcp-uplink", "169.254.1.1 lladdr 02:6b:a9:fe:01:01 PERMANENT"},
	} {
		got := strings.TrimSpace(c.in.Run("ip", strings.Fields(c.command)...))
		if strings.HasPrefix(c.command, "-br addr") {
			got = strings.Join(strings.Fields(got)[2:], " ")
		}
		if got != c.want {
			t.Errorf("%s: ip %s: got %q, want %q", c.in.in.Label(), c.command, got, c.want)
		}
	}
	holdsUplink(t, net, host, true)
}

func TestEnsureUplink(t *testing.T) {
	net, host := open(t, "net"), open(t, "host")
	holdsUplink(t, net, host, false)
	check(t, net.EnsureUplink(uplinkOf(), host.Links, host.handle))
	wholeUplink(t, net, host)
	first := net.Run("ip", "-d", "addr") + host.Run("ip", "-d", "addr")
	check(t, net.EnsureUplink(uplinkOf(), host.Links, host.handle))
	wholeUplink(t, net, host)
	if diff := cmp.Diff(first, net.Run("ip", "-d", "addr")+host.Run("ip", "-d", "addr")); diff != "" {
		t.Errorf("a second time changes something:\n%s", diff)
	}
}

// TestEnsureUplinkMends: whatever is taken away is noticed, and put back.
func TestEnsureUplinkMends(t *testing.T) {
	for what, spoil := range map[string]struct {
		onHost  bool
		command string
	}{
		"the pair":                   {true, "link del mcp-secure"},
		"host's end down":            {true, "link set mcp-secure down"},
		"network's end down":         {false, "link set mcp-uplink down"},
		"host's hardware address":    {true, "link set mcp-secure address 02:00:00:00:00:77"},
		"network's hardware address": {false, "link set mcp-uplink address 02:00:00:00:00:77"},
		"host's mtu":                 {true, "link set mcp-secure mtu 1300"},
		"host's next hop":            {true, "neigh del 169.254.1.1 dev mcp-secure"},
		"network's next hop":         {false, "neigh del 169.254.1.1 dev mcp-uplink"},
		"host's route":               {true, "route del 172.20.0.0/16"},
		"network's route":            {false, "route flush table 100"},
		"rule":                       {false, "rule del priority 40000"},
	} {
		t.Run(what, func(t *testing.T) {
			net, host := open(t, "net"), open(t, "host")
			check(t, net.EnsureUplink(uplinkOf(), host.Links, host.handle))
			in := net
			if spoil.onHost {
				in = host
			}
			in.Run("ip", strings.Fields(spoil.command)...)
			holdsUplink(t, net, host, false)
			check(t, net.EnsureUplink(uplinkOf(), host.Links, host.handle))
			wholeUplink(t, net, host)
		})
	}
}

// TestEnsureUplinkUnfinished: a killed process left the pair without marks and settings.
func TestEnsureUplinkUnfinished(t *testing.T) {
	net, host := open(t, "net"), open(t, "host")
	u := uplinkOf()
	net.Run("ip", "link", "add", topology.UplinkPort, "mtu", "1400", "address", u.Inner.String(), "type", "veth",
		"peer", "name", u.Name, "mtu", "1400", "address", u.Outer.String())
	net.in.Give(u.Name, host.in, u.Name)
	check(t, net.EnsureUplink(u, host.Links, host.handle))
	wholeUplink(t, net, host)
}

// TestEnsureUplinkAnew: the kernel takes a namespace's links away some time after the namespace; its successor has the
// same uplink.
func TestEnsureUplinkAnew(t *testing.T) {
	old, net, host := open(t, "old"), open(t, "net"), open(t, "host")
	check(t, old.EnsureUplink(uplinkOf(), host.Links, host.handle))
	check(t, net.EnsureUplink(uplinkOf(), host.Links, host.handle))
	wholeUplink(t, net, host)
	if _, err := old.Find(topology.UplinkPort); !errors.Is(err, link.ErrNotFound) {
		t.Errorf("the old one is still there: %v", err)
	}
}

// TestUplinkForeign: an interface of the host that has the name and is not the network's stays as it is, and nothing is
// made.
func TestUplinkForeign(t *testing.T) {
	for what, commands := range map[string][]string{
		"bridge":          {"link add mcp-secure type bridge"},
		"veth of another": {"link add mcp-secure type veth peer name x", "link set mcp-secure alias theirs"},
		"another network's": {"link add mcp-secure type veth peer name x",
			"link set mcp-secure alias mcpnet&docker&another&c0ffee"},
		"another store's": {"link add mcp-secure type veth peer name x",
			"link set mcp-secure alias mcpnet&docker&4f2a9c1e&another"},
	} {
		t.Run(what, func(t *testing.T) {
			net, host := open(t, "net"), open(t, "host")
			for _, c := range commands {
				args := strings.Fields(c)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "&", " ")
				}
				host.Run("ip", args...)
			}
			before := host.Run("ip", "-d", "addr")
			err := net.EnsureUplink(uplinkOf(), host.Links, host.handle)
			if !errors.Is(err, link.ErrForeign) || !strings.Contains(err.Error(), "mcp-secure") {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, host.Run("ip", "-d", "addr")); diff != "" {
				t.Errorf("changed:\n%s", diff)
			}
			if _, err := net.Find(topology.UplinkPort); !errors.Is(err, link.ErrNotFound) {
				t.Errorf("half an uplink is there: %v", err)
			}
		})
	}
}

// kindsOfLinks are links that the kernel makes without a partner elsewhere, by type.
var kindsOfLinks = map[string]string{
	"bridge": "type bridge", "veth": "type veth peer name x", "vlan": "link base type vlan id 7", "macvlan": "link base type macvlan",
	"ipvlan": "link base type ipvlan", "vxlan": "type vxlan id 7 dstport 4789", "dummy": "type dummy", "ifb": "type ifb",
	"bond": "type bond", "gre": "type gretap remote 192.0.2.1 local 192.0.2.2", "ipip": "type ipip remote 192.0.2.1 local 192.0.2.2",
	"vrf": "type vrf table 7", "team": "type team", "wireguard": "type wireguard", "netkit": "type netkit peer name x",
}

// TestForeignKinds: a link of any type that has a name of ours and no mark is neither taken nor removed: the uplink's
// on the host, and the bridge's, the router's and a wire's in the namespace.
func TestForeignKinds(t *testing.T) {
	in, other := open(t, "in"), open(t, "other")
	in.AddBridge("base")
	ensure := map[string]func() error{
		"mcp-secure": func() error { return other.EnsureUplink(uplinkOf(), in.Links, in.handle) },
		"mcp-uplink": func() error { return in.EnsureUplink(uplinkOf(), other.Links, other.handle) },
		"mcp-other": func() error {
			b := bridge()
			b.Name = "mcp-other"
			return in.EnsureBridge(b)
		},
		topology.Router: func() error { return in.EnsureRouter(routerOf()) },
		wire().Name: func() error {
			_, err := in.AddWire(wire(), other.handle)
			return err
		},
	}
	tried := 0
	for kind, how := range kindsOfLinks {
		for name, ensure := range ensure {
			if kind == "bridge" && name == "mcp-other" || kind == "veth" && name != "mcp-secure" {
				continue // that is what a killed process leaves
			}
			before, on, _ := strings.Cut(how, "type")
			command := "link add " + before + "name " + name + " type" + on
			if _, err := in.in.Output("ip", strings.Fields(command)...); err != nil {
				continue // this kernel has no such links
			}
			tried++
			found := in.find(t, name)
			if err := ensure(); !errors.Is(err, link.ErrForeign) {
				t.Errorf("%s %s: got %v", kind, name, err)
			}
			if diff := cmp.Diff(found, in.find(t, name)); diff != "" {
				t.Errorf("%s %s:\n%s", kind, name, diff)
			}
			in.Run("ip", "link", "del", name)
		}
	}
	if t.Logf("%d links were tried", tried); tried < 10 {
		t.Errorf("%d links were made", tried)
	}
}
