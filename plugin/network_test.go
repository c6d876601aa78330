package main

import (
	"maps"
	"strings"
	"testing"
)

// wellFormed is a request to create a network; options replace or add to those that a user gives.
func wellFormed(options object) object {
	generic := object{"mcpnet.gateway": "172.20.0.100:8080"}
	maps.Copy(generic, options)
	return object{"NetworkID": "4f2a9c1e", "IPv4Data": []object{pool("172.20.0.0/16", "172.20.0.1/16")},
		"Options": object{"com.docker.network.generic": generic, "com.docker.network.enable_ipv4": true}}
}

func pool(subnet, gateway string) object {
	return object{"AddressSpace": "LocalDefault", "Pool": subnet, "Gateway": gateway}
}

// set changes a request's options outside of those that a user gives with -o.
func set(request object, key string, value any) object {
	request["Options"].(object)[key] = value
	return request
}

func with(request object, key string, value any) object {
	request[key] = value
	return request
}

func TestWrongNetworks(t *testing.T) {
	d := newDaemon(t).ready()
	for name, c := range map[string]struct {
		request object
		want    []string
	}{
		"everything at once": {
			set(with(wellFormed(object{"mcpnet.gateway": "10.9.9.9:0/sctp", "mcpnet.gatway": "x", "mcpnet.mode": "loose", "mcpnet.allow": "*",
				"com.docker.network.driver.mtu": "9"}), "IPv6Data", []object{pool("fd00::/64", "fd00::1/64")}), "com.docker.network.enable_ipv6", true),
			[]string{"problems:", "--ipv6", "the port must be", "the protocol must be", "mcpnet.gatway", "did you mean mcpnet.gateway?", "mcpnet.mode", "enforce, audit",
				"mcpnet.allow", "is every name", "com.docker.network.driver.mtu", "576 to 65535"},
		},
		"IPv6": {set(wellFormed(nil), "com.docker.network.enable_ipv6", true), []string{"--ipv6", "drop --ipv6"}},
		"no IPv4": {set(with(wellFormed(nil), "IPv4Data", []object{}), "com.docker.network.enable_ipv4", false),
			[]string{"2 problems", "--ipv4", "0 IPv4 subnets"}},
		"internal with egress": {set(wellFormed(object{"mcpnet.gateway.egress": "tcp/443"}), "com.docker.network.internal", true),
			[]string{"mcpnet.gateway.egress", "an --internal network has no egress"}},
		"options that are no strings": {wellFormed(object{"mcpnet.gateway.egress": false, "mcpnet.gateway.connect": []string{"tcp/3000"}, "mcpnet.nonsense": 5}),
			[]string{"problems", "mcpnet.gateway.egress", "mcpnet.gateway.connect", "mcpnet.nonsense", "not a string"}},
		"bridge elsewhere": {with(wellFormed(nil), "IPv4Data", []object{pool("172.20.0.0/16", "10.9.9.9/8")}),
			[]string{"--gateway", "10.9.9.9", "not in the subnet"}},
		"two pools": {with(wellFormed(nil), "IPv4Data", []object{pool("172.20.0.0/16", "172.20.0.1/16"), pool("172.21.0.0/16", "172.21.0.1/16")}),
			[]string{"--subnet", "2 IPv4 subnets", "exactly one"}},
		"no gateway":            {wellFormed(object{"mcpnet.gateway": ""}), []string{"mcpnet.gateway", "ip:port"}},
		"gateway is missing":    {set(wellFormed(nil), "com.docker.network.generic", object{}), []string{"mcpnet.gateway: required", "for example"}},
		"gateway outside":       {wellFormed(object{"mcpnet.gateway": "10.0.0.1:80"}), []string{"10.0.0.1", "not in the subnet"}},
		"gateway is the bridge": {wellFormed(object{"mcpnet.gateway": "172.20.0.1:80"}), []string{"the bridge's own address"}},
		"bridge without address": {with(wellFormed(nil), "IPv4Data", []object{pool("172.20.0.0/16", "")}),
			[]string{"--gateway", "gave the bridge no address"}},
		"garbage for a pool":   {with(wellFormed(nil), "IPv4Data", []object{pool("x", "y")}), []string{"--subnet", "--gateway"}},
		"no pool in its place": {with(wellFormed(nil), "IPv4Data", []any{nil}), []string{"--subnet"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := d.call("CreateNetwork", c.request, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("lacks %q:\n%v", part, err)
				}
			}
			if got := d.host.Run("nft", "list", "ruleset"); strings.Contains(got, "mcp") {
				t.Errorf("left:\n%s", got)
			}
		})
	}
	if networks, err := d.engine.Networks(t.Context()); err != nil || len(networks) > 0 {
		t.Errorf("%v %v", networks, err)
	}
}

func TestNetworkOptions(t *testing.T) {
	d := newDaemon(t).ready()
	request := set(wellFormed(object{"com.docker.network.bridge.name": "br-mcp", "com.docker.network.driver.mtu": "1400"}), "com.docker.network.internal", true)
	check(t, d.call("CreateNetwork", request, nil))
	check(t, d.call("CreateNetwork", request, nil)) // the engine's retry
	networks, err := d.engine.Networks(t.Context())
	check(t, err)
	if n := networks[0]; n.Bridge != "br-mcp" || n.Policy.MTU != 1400 || !n.Policy.Egress.Off() || n.BridgeAddr.String() != "172.20.0.1" {
		t.Errorf("%+v", n)
	}
	if d.calls.Load() == 0 {
		t.Error("nobody looks for the network's name")
	}
	check(t, d.call("DeleteNetwork", object{"NetworkID": "4f2a9c1e"}, nil))
	check(t, d.call("DeleteNetwork", object{"NetworkID": "4f2a9c1e"}, nil))
}

func TestSwarm(t *testing.T) {
	d := newDaemon(t).ready()
	if err := d.call("AllocateNetwork", object{"NetworkID": "n"}, nil); err == nil || !strings.Contains(err.Error(), "--scope local") {
		t.Errorf("got %v", err)
	}
}
