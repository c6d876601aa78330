package leak

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// CNI is mcpnet as a CNI plugin: each attachment is a process of its own, and none runs beside them.
type CNI struct {
	t       testnet.T
	bridge  string
	Network *testcni.Network
}

// cniCall is the attachment of a container of a seat.
func cniCall(ns *testnet.NS, ip netip.Addr) testcni.Call {
	return testcni.Call{ID: "container-" + ip.String(), NetNS: ns.Path(), Args: [][2]string{{"IgnoreUnknown", "1"}, {"IP", ip.String()}}}
}

// mainConflist is mcpnet as the plugin that makes the interface.
const mainConflist = `{"cniVersion": "1.1.0", "name": "mcp-secure", "plugins": [{"type": "mcpnet", "bridge": "mcp-secure", "policy": %s,
	"ipam": {"type": "host-local", "dataDir": "$IPAM", "ranges": [[{"subnet": "172.20.0.0/16", "rangeStart": "172.20.240.1", "gateway": "172.20.0.1"}]]}}]}`

// chainedConflist is mcpnet behind the reference bridge plugin, with the usual plugins behind it.
const chainedConflist = `{"cniVersion": "1.0.0", "name": "mcp-secure", "plugins": [
	{"type": "bridge", "bridge": "mcp-secure", "isGateway": true, "ipMasq": true, "hairpinMode": true,
	 "ipam": {"type": "host-local", "dataDir": "$IPAM", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "172.20.0.0/16", "gateway": "172.20.0.1"}]]}},
	{"type": "mcpnet", "policy": %s},
	{"type": "firewall"}]}`

// NewCNI makes an mcpnet network in main mode.
func NewCNI(t testnet.T, options map[string]string) func(*testnet.World) Fabric {
	return newCNI(t, mainConflist, options)
}

// NewChainedCNI makes one in chained mode.
func NewChainedCNI(t testnet.T, options map[string]string) func(*testnet.World) Fabric {
	return newCNI(t, chainedConflist, options)
}

func newCNI(t testnet.T, conflist string, options map[string]string) func(*testnet.World) Fabric {
	return func(w *testnet.World) Fabric {
		t.Helper()
		all := map[string]string{"gateway": netip.AddrPortFrom(GatewayIP, GatewayPort).String()}
		for key, value := range options {
			all[key] = value
		}
		policy, err := json.Marshal(all)
		if err != nil {
			t.Fatalf("policy: %v", err)
		}
		return &CNI{t: t, bridge: "mcp-secure", Network: testcni.New(t, w.Host).MustNetwork(fmt.Sprintf(conflist, policy))}
	}
}

// Bridge is the name of the network's bridge.
func (c *CNI) Bridge() string { return c.bridge }

// Space is the network's namespace.
func (c *CNI) Space() *testnet.NS {
	return testnet.FromPath(c.t, filepath.Join(c.Network.Pins, c.bridge))
}

// Attach attaches a container. A gateway is one because its address was asked for.
func (c *CNI) Attach(ns *testnet.NS, ip netip.Addr, _ Role) Member {
	c.t.Helper()
	if _, err := c.Network.Add(context.Background(), cniCall(ns, ip)); err != nil {
		c.t.Fatalf("attach %s: %v", ip, err)
	}
	return Member{NS: ns, Link: containerLink, IP: ip}
}

// Detach detaches it.
func (c *CNI) Detach(m Member) {
	c.t.Helper()
	if err := c.Network.Del(context.Background(), cniCall(m.NS, m.IP)); err != nil {
		c.t.Fatalf("detach %s: %v", m.IP, err)
	}
}
