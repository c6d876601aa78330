package testnet

import (
	"net/netip"
	"path/filepath"
)

// The addresses of a World, all from the ranges for documentation but for the
// metadata services, which have the addresses that clouds give them.
var (
	HostAddr      = netip.MustParseAddr("198.51.100.1")
	HostAddr6     = netip.MustParseAddr("2001:db8:51::1")
	InternetAddr  = netip.MustParseAddr("198.51.100.2")
	InternetAddr6 = netip.MustParseAddr("2001:db8:51::2")
	InternetHost  = netip.MustParseAddr("203.0.113.10")
	InternetHost6 = netip.MustParseAddr("2001:db8:203::10")
	Resolver      = netip.MustParseAddr("203.0.113.53")
	Resolver6     = netip.MustParseAddr("2001:db8:203::53")
	Metadata      = netip.MustParseAddr("169.254.169.254")
	Metadata6     = netip.MustParseAddr("fd00:ec2::254")

	VictimBridge  = netip.MustParseAddr("10.77.0.1")
	VictimBridge6 = netip.MustParseAddr("fd00:77::1")
	VictimAddr    = netip.MustParseAddr("10.77.0.2")
	VictimAddr6   = netip.MustParseAddr("fd00:77::2")
)

// Uplink is the host's link to the internet.
const Uplink = "uplink0"

// World is a host with an uplink to an internet of one machine.
//
//	host (198.51.100.1) uplink0 ── eth0 internet (198.51.100.2, 203.0.113.10, …)
//
// The host forwards, as every container host does, and filters nothing.
type World struct {
	Host     *NS
	Internet *NS
	// Pins is a directory for the namespaces that a program under test makes.
	Pins string
	t    T
}

// NewWorld makes a world.
func NewWorld(t T) *World {
	t.Helper()
	w := &World{Host: New(t, "host"), Internet: New(t, "internet"), Pins: NewPins(t), t: t}
	Connect(t,
		Port{w.Host, Uplink, []string{HostAddr.String() + "/24", HostAddr6.String() + "/64"}},
		Port{w.Internet, "eth0", []string{InternetAddr.String() + "/24", InternetAddr6.String() + "/64"}})
	for _, addr := range []netip.Addr{InternetHost, InternetHost6, Resolver, Resolver6, Metadata, Metadata6} {
		w.Internet.AddAddr("lo", netip.PrefixFrom(addr, addr.BitLen()).String())
	}
	w.Host.AddRoute(netip.Prefix{}, InternetAddr)
	w.Host.AddRoute(netip.Prefix{}, InternetAddr6)
	w.Host.Sysctl("net.ipv4.ip_forward", "1")
	w.Host.Sysctl("net.ipv6.conf.all.forwarding", "1")
	w.BridgeNetfilter(false)
	return w
}

// NewPins makes a directory in which a program under test pins namespaces.
func NewPins(t T) string {
	t.Helper()
	path, err := createDir("pins")
	must(t, err, "directory of namespaces")
	t.Cleanup(func() { must(t, discard(path), "remove %s", path) })
	return path
}

// Pinned is a namespace that a program under test made.
func (w *World) Pinned(name string) *NS {
	n := FromPath(w.t, filepath.Join(w.Pins, name))
	n.label = name
	return n
}

// BridgeNetfilter tells whether iptables sees bridged frames. Docker turns it
// on where it is off; kernels start with it on.
func (w *World) BridgeNetfilter(on bool) {
	value := "0"
	if on {
		value = "1"
	}
	for _, family := range []string{"iptables", "ip6tables", "arptables"} {
		w.Host.trySysctl("net.bridge.bridge-nf-call-"+family, value)
	}
}

// NewVictim adds a container on another bridge of the host.
func (w *World) NewVictim() *NS {
	w.t.Helper()
	victim := New(w.t, "victim")
	w.Host.AddBridge("victim0", VictimBridge.String()+"/24", VictimBridge6.String()+"/64")
	Connect(w.t, Port{NS: w.Host, Name: "victim1"},
		Port{victim, "eth0", []string{VictimAddr.String() + "/24", VictimAddr6.String() + "/64"}})
	w.Host.Enslave("victim1", "victim0")
	victim.AddRoute(netip.Prefix{}, VictimBridge)
	victim.AddRoute(netip.Prefix{}, VictimBridge6)
	return victim
}
