package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

const plainBridge = "br0"

// bridgePath is a bridge with a port for each endpoint and no filter. The other ends of the ports that are not measured
// stay in the host, as mcpnetPath's do.
func bridgePath(t *testnet.Program, size int) *path {
	p := &path{fabric: "bridge", size: size, host: newHost(t).Host}
	p.host.AddBridge(plainBridge, prefixed(bridgeAddr))
	p.port(t, "gw")
	p.gateway = seat(t, p.host, "gwc", "gateway", service.Addr())
	for i := range size {
		name := fmt.Sprintf("p%d", i)
		p.port(t, name)
		if i == measured(size) {
			p.server = seat(t, p.host, name+"c", "server", address(i))
		} else {
			p.host.Up(name + "c")
		}
	}
	p.open(t)
	return p
}

// port makes a veth pair: name is a port of the bridge, and name with a c its other end.
func (p *path) port(t *testnet.Program, name string) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = name, p.host.Link(plainBridge).Attrs().Index
	must(t, p.host.Handle().LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name + "c"}), "port %s", name)
	p.host.Up(name)
}

// classicPath is that bridge with the rule set that guides for Docker hosts describe.
func classicPath(t *testnet.Program, size int) *path {
	p := bridgePath(t, size)
	p.fabric = "classic"
	p.host.Sysctl("net.bridge.bridge-nf-call-iptables", "1")
	var rules strings.Builder
	rules.WriteString("*filter\n:DOCKER-MCP - [0:0]\n")
	fmt.Fprintf(&rules, "-I FORWARD -i %s -j DOCKER-MCP\n-A DOCKER-MCP -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", plainBridge)
	for i := range size {
		fmt.Fprintf(&rules, "-A DOCKER-MCP -s %s -d %s -p tcp --dport %d -j ACCEPT\n", address(i), service.Addr(), service.Port())
	}
	rules.WriteString("-A DOCKER-MCP -j DROP\nCOMMIT\n")
	p.host.RunInput(rules.String(), "iptables-restore", "--noflush")
	return p
}

// filtersBridges reports whether the kernel can show bridged frames to iptables.
func filtersBridges() bool {
	_, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables")
	return err == nil
}
