package leak

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Netavark is mcpnet as a plugin of netavark's, called as netavark calls it: a process for each container.
type Netavark struct {
	t       testnet.T
	host    *testcni.Host
	options map[string]string
}

// NewNetavark makes an mcpnet network as Podman has it.
func NewNetavark(t testnet.T, options map[string]string) func(*testnet.World) Fabric {
	return func(w *testnet.World) Fabric {
		t.Helper()
		all := map[string]string{"mcpnet.gateway": netip.AddrPortFrom(GatewayIP, GatewayPort).String()}
		for key, value := range options {
			all[key] = value
		}
		return &Netavark{t: t, host: testcni.New(t, w.Host), options: all}
	}
}

// Bridge is the name of the network's bridge.
func (n *Netavark) Bridge() string { return "mcp-secure" }

// Space is the network's namespace.
func (n *Netavark) Space() *testnet.NS {
	return testnet.FromPath(n.t, filepath.Join(n.host.Pins, n.Bridge()))
}

// Attach attaches a container.
func (n *Netavark) Attach(ns *testnet.NS, ip netip.Addr, role Role) Member {
	n.t.Helper()
	n.call("setup", ns, ip, role)
	return Member{NS: ns, Link: containerLink, IP: ip}
}

// Detach detaches it.
func (n *Netavark) Detach(m Member) {
	n.t.Helper()
	n.call("teardown", m.NS, m.IP, ServerRole)
}

// call is one call of netavark's plugin API.
func (n *Netavark) call(verb string, ns *testnet.NS, ip netip.Addr, role Role) {
	n.t.Helper()
	in, err := json.Marshal(request.NetavarkCall{
		ContainerID: "container-" + ip.String(), ContainerName: ip.String(),
		Network: request.NetavarkNetwork{ID: networkID, Name: "mcp-secure", Interface: n.Bridge(), Options: n.options,
			IPAM:    map[string]string{"driver": "host-local"},
			Subnets: []request.NetavarkSubnet{{Subnet: Subnet, Gateway: BridgeAddr}}},
		Options: request.NetavarkContainer{Interface: containerLink, IPs: []netip.Addr{ip},
			Options: map[string]string{"mcpnet.role": string(role)}},
	})
	if err != nil {
		n.t.Fatalf("%s: %v", verb, err)
	}
	cmd := n.host.NS.Command(testcni.Plugin(n.t), verb, ns.Path())
	cmd.Stdin = bytes.NewReader(in)
	cmd.Env = append(os.Environ(), "MCPNET_STORE="+n.host.Store(), "MCPNET_NETNS="+n.host.Pins)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("netavark %s %s: %v: %s", verb, ip, err, out)
	}
}
