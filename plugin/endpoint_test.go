package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/docker/go-plugins-helpers/network"

	"github.com/mcpnet/mcpnet/internal/topology"
)

const gatewayMAC = "02:6b:ac:14:00:64" // of 172.20.0.100 on network 4f2a9c1e

// served is a daemon with a network.
func served(t *testing.T) *daemon {
	t.Helper()
	d := newDaemon(t).ready()
	check(t, d.call("CreateNetwork", wellFormed(nil), nil))
	return d
}

// knowsRange is what Docker's list tells after a network was made.
func (d *daemon) knowsRange() *daemon {
	d.t.Helper()
	check(d.t, d.engine.Describe(d.t.Context(), topology.Network{ID: "4f2a9c1e", Name: "mcp", IPRange: netip.MustParsePrefix("172.20.240.0/20")}))
	return d
}

func endpoint(id, ip string, options object) object {
	if options == nil {
		options = object{}
	}
	return object{"NetworkID": "4f2a9c1e", "EndpointID": id, "Interface": object{"Address": ip + "/16"}, "Options": options}
}

func mac(request object, address string) object {
	request["Interface"].(object)["MacAddress"] = address
	return request
}

func ports(request object) object {
	return set(request, "com.docker.network.portmap", []object{{"Proto": 6, "Port": 80, "HostPort": 8080}})
}

func TestServer(t *testing.T) {
	d := served(t)
	var made network.CreateEndpointResponse
	check(t, d.call("CreateEndpoint", endpoint("a", "172.20.240.1", nil), &made))
	if made.Interface == nil || made.Interface.MacAddress != "02:6b:ac:14:f0:01" || made.Interface.Address != "" {
		t.Errorf("%+v", made.Interface)
	}
	ids := object{"NetworkID": "4f2a9c1e", "EndpointID": "a", "SandboxKey": "/x"}
	var joined network.JoinResponse
	check(t, d.call("Join", ids, &joined))
	if joined.Gateway != "" || joined.GatewayIPv6 != "" || !joined.DisableGatewayService || len(joined.StaticRoutes) > 0 {
		t.Errorf("a server gets a way out: %+v", joined)
	}
	if joined.InterfaceName.DstPrefix != "eth" || !strings.Contains(d.host.Run("ip", "link"), joined.InterfaceName.SrcName+"@") {
		t.Errorf("no interface %+v", joined.InterfaceName)
	}
	check(t, d.call("EndpointOperInfo", ids, nil))
	check(t, d.call("ProgramExternalConnectivity", ids, nil))
	for range 2 {
		check(t, d.call("Leave", ids, nil))
		check(t, d.call("DeleteEndpoint", ids, nil))
	}
	if got := d.host.Run("ip", "link"); strings.Contains(got, "mcpw") {
		t.Errorf("left:\n%s", got)
	}
}

func TestGateway(t *testing.T) {
	d := served(t).knowsRange()
	check(t, d.call("CreateEndpoint", endpoint("g", "172.20.0.100", nil), nil))
	var joined network.JoinResponse
	check(t, d.call("Join", object{"NetworkID": "4f2a9c1e", "EndpointID": "g"}, &joined))
	if joined.Gateway != "172.20.0.1" || !joined.DisableGatewayService {
		t.Errorf("%+v", joined)
	}
}

// TestGatewayWithoutEgress: no way out, no default route, and so no questions to the host's resolver either.
func TestGatewayWithoutEgress(t *testing.T) {
	d := newDaemon(t).ready()
	check(t, d.call("CreateNetwork", wellFormed(object{"mcpnet.gateway.egress": "off"}), nil))
	d.knowsRange()
	check(t, d.call("CreateEndpoint", endpoint("g", "172.20.0.100", nil), nil))
	var joined network.JoinResponse
	check(t, d.call("Join", object{"NetworkID": "4f2a9c1e", "EndpointID": "g"}, &joined))
	if joined.Gateway != "" || !joined.DisableGatewayService {
		t.Errorf("%+v", joined)
	}
}

func TestEndpointRules(t *testing.T) {
	d := served(t).knowsRange()
	role := func(r string) object { return object{"mcpnet.role": r} }
	for name, c := range map[string]struct {
		request object
		want    string        // an error, or
		role    topology.Role // what it became
	}{
		"published port on a server":       {ports(endpoint("e", "172.20.240.1", nil)), "published ports (-p) on a server", ""},
		"published port is named":          {ports(endpoint("e", "172.20.240.1", nil)), "drop -p (8080:80)", ""},
		"published port on a gateway":      {ports(endpoint("e", "172.20.0.100", nil)), "", topology.RoleGateway},
		"exposed port":                     {set(endpoint("e", "172.20.240.1", nil), "com.docker.network.endpoint.exposedports", []object{{"Proto": 6, "Port": 80}}), "", topology.RoleServer},
		"MAC of a server":                  {mac(endpoint("e", "172.20.240.1", nil), "02:00:00:00:00:07"), "", topology.RoleServer},
		"MAC of a gateway":                 {mac(endpoint("e", "172.20.0.100", nil), "02:00:00:00:00:07"), "the address of a gateway is fixed (" + gatewayMAC + ")", ""},
		"the gateway's own MAC":            {mac(endpoint("e", "172.20.0.100", nil), gatewayMAC), "", topology.RoleGateway},
		"no MAC":                           {mac(endpoint("e", "172.20.240.1", nil), "x"), "--mac-address", ""},
		"multicast MAC":                    {mac(endpoint("e", "172.20.240.1", nil), "01:00:5e:00:00:01"), "--mac-address", ""},
		"a gateway's MAC on a server":      {mac(endpoint("e", "172.20.240.1", nil), gatewayMAC), "--mac-address", ""},
		"MAC of eight bytes":               {mac(endpoint("e", "172.20.240.1", nil), "02:00:00:00:00:00:00:07"), "--mac-address", ""},
		"says gateway":                     {endpoint("e", "172.20.0.100", role("gateway")), "", topology.RoleGateway},
		"says gateway at a server's":       {endpoint("e", "172.20.240.1", role("gateway")), "none of the network's gateways (172.20.0.100)", ""},
		"says server at a gateway's":       {endpoint("e", "172.20.0.100", role("server")), "choose another with --ip", ""},
		"says nonsense":                    {endpoint("e", "172.20.240.1", role("router")), "server, gateway", ""},
		"option of a network":              {endpoint("e", "172.20.240.1", object{"mcpnet.gateway": "1.2.3.4:5"}), "set it on the network", ""},
		"misspelled":                       {endpoint("e", "172.20.240.1", object{"mcpnet.rolle": "server"}), "did you mean mcpnet.role?", ""},
		"outside the subnet":               {endpoint("e", "10.0.0.1", nil), "not in subnet", ""},
		"the bridge's address":             {endpoint("e", "172.20.0.1", nil), "172.20.0.1", ""},
		"no interface":                     {object{"NetworkID": "4f2a9c1e", "EndpointID": "e"}, "no IPv4 address", ""},
		"no address":                       {object{"NetworkID": "4f2a9c1e", "EndpointID": "e", "Interface": object{"AddressIPv6": "fd00::1/64"}}, "no IPv4 address", ""},
		"IPv6 in the place of the address": {object{"NetworkID": "4f2a9c1e", "EndpointID": "e", "Interface": object{"Address": "fd00::1/64"}}, "IPv4", ""},
		"no address at all":                {object{"NetworkID": "4f2a9c1e", "EndpointID": "e", "Interface": object{"Address": "x"}}, "mcp", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := d.call("CreateEndpoint", c.request, nil)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if got := d.host.Run("ip", "link"); strings.Contains(got, "mcpw") {
					t.Errorf("left:\n%s", got)
				}
				return
			}
			check(t, err)
			endpoints, err := d.engine.Endpoints(t.Context())
			check(t, err)
			if len(endpoints) != 1 || endpoints[0].Role != c.role {
				t.Errorf("became %+v, want %s", endpoints, c.role)
			}
			check(t, d.call("DeleteEndpoint", object{"NetworkID": "4f2a9c1e", "EndpointID": "e"}, nil))
		})
	}
}

// TestCandidateWaits: without the range nothing shows that the address was asked for. The call asks for a look at the
// engine's list, waits a moment, and goes on.
func TestCandidateWaits(t *testing.T) {
	t.Parallel() // beside TestNeverReady
	d := served(t)
	before := d.calls.Load()
	check(t, d.call("CreateEndpoint", endpoint("c", "172.20.0.100", nil), nil))
	endpoints, err := d.engine.Endpoints(t.Context())
	check(t, err)
	if endpoints[0].Role != topology.RoleCandidate || d.calls.Load() == before {
		t.Errorf("%+v, %d looks", endpoints[0], d.calls.Load()-before)
	}
	var joined network.JoinResponse
	check(t, d.call("Join", object{"NetworkID": "4f2a9c1e", "EndpointID": "c"}, &joined))
	if joined.Gateway != "" {
		t.Errorf("a candidate gets a way out: %+v", joined)
	}
}
