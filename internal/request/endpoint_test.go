package request_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	gatewayAddr = "172.20.0.100"
	serverAddr  = "172.20.240.1"
)

var gatewayMAC = topology.MACFor("n", netip.MustParseAddr(gatewayAddr)).String()

// wish is what a user wants of an endpoint.
type wish struct {
	ip, role, mac string
	asked         bool // for the address
	ports         bool
}

// network is one with gateways inside and outside of the range that the engine assigns from.
func network(t *testing.T) topology.Network {
	t.Helper()
	p, err := policy.Parse(map[string]string{policy.KeyGateway: gatewayAddr + ":8080,172.20.250.1:53/udp"})
	if err != nil {
		t.Fatal(err)
	}
	return topology.Network{ID: "n", Name: "mcp", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: p}
}

func options(w wish) map[string]string {
	if w.role == "" {
		return nil
	}
	return map[string]string{policy.KeyRole: w.role}
}

// endpoints turn a wish into an endpoint of a network in the words of a surface.
var endpoints = map[topology.Owner]func(*testing.T, topology.Network, wish) (topology.Endpoint, error){
	topology.OwnerDocker: func(_ *testing.T, n topology.Network, w wish) (topology.Endpoint, error) {
		if w.asked { // as Docker shows it when the endpoint is made
			n.IPRange = netip.MustParsePrefix("172.20.240.0/20")
		}
		given := map[string]any{}
		for k, v := range options(w) {
			given[k] = v
		}
		if w.ports {
			given["com.docker.network.portmap"] = []any{map[string]any{"Proto": 6, "Port": 80, "HostPort": 8080}}
		}
		return request.DockerEndpoint{ID: "e", Address: w.ip + "/16", MAC: w.mac, Options: given}.Words(n).Endpoint(n)
	},
	topology.OwnerCNI: func(t *testing.T, n topology.Network, w wish) (topology.Endpoint, error) {
		runtime := map[string]any{"mac": w.mac, "io.kubernetes.cri.pod-annotations": options(w)}
		if w.asked {
			runtime["ips"] = []string{w.ip}
		}
		if w.ports {
			runtime["portMappings"] = []map[string]any{{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}}
		}
		words := cniEndpoint(t, map[string]any{"runtimeConfig": runtime}, nil, "host-local")
		words.Addrs = []netip.Addr{netip.MustParseAddr(w.ip)}
		return words.Endpoint(n)
	},
	topology.OwnerNetavark: func(_ *testing.T, n topology.Network, w wish) (topology.Endpoint, error) {
		lease := &request.NetavarkLease{Start: netip.MustParseAddr("172.20.0.2")}
		if w.asked {
			lease.Start = netip.MustParseAddr("172.20.240.0")
		}
		c := request.NetavarkCall{Network: request.NetavarkNetwork{Subnets: []request.NetavarkSubnet{{Subnet: n.Subnet,
			Lease: lease}}},
			Options: request.NetavarkContainer{IPs: []netip.Addr{netip.MustParseAddr(w.ip)}, MAC: w.mac,
				Options: options(w)}}
		if w.ports {
			c.Ports = []request.NetavarkPort{{ContainerPort: 80, HostPort: 8080, Protocol: "tcp"}}
		}
		return c.Words("e").Endpoint(n)
	},
}

func cniEndpoint(t *testing.T, config map[string]any, args map[string]string, ipam string) request.EndpointWords {
	t.Helper()
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var c request.CNIConfig
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c.EndpointWords(args, ipam)
}

// TestSameEndpoint: the same wish gives the same role, address and reason on every surface, or the same problem in
// its words.
func TestSameEndpoint(t *testing.T) {
	for name, c := range map[string]struct {
		wish wish
		role topology.Role // it becomes, or
		want string        // the problem, with words of the surface in braces
	}{
		"anyone":                   {wish{ip: serverAddr}, topology.RoleServer, ""},
		"anyone, asked for":        {wish{ip: "172.20.0.5", asked: true}, topology.RoleServer, ""},
		"says server":              {wish{ip: serverAddr, role: "server"}, topology.RoleServer, ""},
		"a gateway that was asked": {wish{ip: gatewayAddr, asked: true}, topology.RoleGateway, "was asked for"},
		"says gateway": {wish{ip: gatewayAddr, role: "gateway"}, topology.RoleGateway,
			"mcpnet.role=gateway"},
		"says gateway in the range": {wish{ip: "172.20.250.1", role: "gateway", asked: true},
			topology.RoleGateway, "mcpnet.role=gateway"},
		"says gateway at a server's": {wish{ip: serverAddr, role: "gateway"}, "",
			"none of the network's gateways (172.20.0.100, 172.20.250.1); accepted: one of them, asked for with {ip}"},
		"says server at a gateway's": {wish{ip: gatewayAddr, role: "server"}, "",
			"is a gateway's: choose another with {ip}"},
		"says nonsense":           {wish{ip: serverAddr, role: "router"}, "", `mcpnet.role="router"`},
		"nonsense at a gateway's": {wish{ip: gatewayAddr, role: "router"}, "", `mcpnet.role="router"`},
		"ports of a server":       {wish{ip: serverAddr, ports: true}, "", "{ports}=\"8080:80"},
		"ports of a gateway":      {wish{ip: gatewayAddr, asked: true, ports: true}, topology.RoleGateway, ""},
		"hardware address":        {wish{ip: serverAddr, mac: "02:00:00:00:00:07"}, topology.RoleServer, ""},
		"a gateway's own":         {wish{ip: gatewayAddr, asked: true, mac: gatewayMAC}, topology.RoleGateway, ""},
		"another for a gateway": {wish{ip: gatewayAddr, asked: true, mac: "02:00:00:00:00:07"}, "",
			"{mac}=\"02:00:00:00:00:07\": the address of a gateway is fixed (" + gatewayMAC + "): drop the option"},
		"a gateway's for a server": {wish{ip: serverAddr, mac: gatewayMAC}, "",
			"{mac}=\"" + gatewayMAC + "\": belongs to 172.20.0.100"},
		"no hardware address": {wish{ip: serverAddr, mac: "x"}, "",
			"{mac}=\"x\": not the address of one Ethernet interface"},
		"a group's":   {wish{ip: serverAddr, mac: "01:00:5e:00:00:01"}, "", "{mac}="},
		"eight bytes": {wish{ip: serverAddr, mac: "02:00:00:00:00:00:00:07"}, "", "{mac}="},
		"IPv6": {wish{ip: "fd00::1"}, "",
			"{ip}=\"fd00::1\": an endpoint has exactly one address, of IPv4"},
		"everything at once, role":    {wish{ip: serverAddr, role: "gateway", mac: "x", ports: true}, "", "2 problems"},
		"everything at once, ports":   {wish{ip: serverAddr, mac: "x", ports: true}, "", "2 problems"},
		"everything at once, options": {wish{ip: serverAddr, role: "router", mac: "x"}, "", "2 problems"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range surface.All() {
				p, err := endpoints[s.Owner](t, network(t), c.wish)
				text := p.Reason
				if err != nil {
					text = err.Error()
				}
				want := strings.NewReplacer("{ip}", s.Words.Address, "{mac}", s.Words.MAC, "{ports}",
					s.Words.Ports).Replace(c.want)
				if p.Role != c.role || (err != nil) != (c.role == "") || !strings.Contains(text, want) {
					t.Errorf("%s: got %q, %q, want %q", s.Owner, p.Role, text, want)
				}
				if err == nil && c.wish.mac != "" && p.MAC.String() != c.wish.mac {
					t.Errorf("%s: hardware address %s", s.Owner, p.MAC)
				}
				if err == nil && c.wish.mac == "" && p.MAC.String() != topology.MACFor("n", p.IP).String() {
					t.Errorf("%s: hardware address %s does not follow from the network", s.Owner, p.MAC)
				}
			}
		})
	}
}

// TestGatewayNobodyAskedFor: Docker shows later who asked; the others refuse what nothing shows to be asked for.
func TestGatewayNobodyAskedFor(t *testing.T) {
	for _, s := range surface.All() {
		p, err := endpoints[s.Owner](t, network(t), wish{ip: gatewayAddr})
		if s.Later {
			if err != nil || p.Role != topology.RoleCandidate ||
				!strings.Contains(p.Reason, "waiting for the engine's record") {
				t.Errorf("%s: %+v, %v", s.Owner, p, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), "nothing shows that it was asked for") ||
			!strings.HasPrefix(err.Error(), s.Words.Range+"=") {
			t.Errorf("%s: %+v, %v", s.Owner, p, err)
		}
	}
}

func TestDockerAddresses(t *testing.T) {
	n := network(t)
	for address, want := range map[string]string{"": "--ip: the engine gave the endpoint no IPv4 address",
		"x": `--ip="x": not an IPv4 address with its prefix`} {
		if _, err := (request.DockerEndpoint{ID: "e", Address: address}).Words(n).Endpoint(n); err == nil ||
			err.Error() != want {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestDockerRecord: an endpoint of the engine's list exists already, with its hardware address.
func TestDockerRecord(t *testing.T) {
	n := network(t)
	for name, c := range map[string]struct {
		record request.DockerRecord
		want   string // an error, or
		role   topology.Role
	}{
		"server": {request.DockerRecord{Address: netip.MustParseAddr(serverAddr),
			MAC: "02:00:00:00:00:07"}, "", topology.RoleServer},
		"candidate": {request.DockerRecord{Address: netip.MustParseAddr(gatewayAddr), MAC: gatewayMAC}, "",
			topology.RoleCandidate},
		"gateway": {request.DockerRecord{Address: netip.MustParseAddr(gatewayAddr), MAC: gatewayMAC,
			Options: map[string]string{policy.KeyRole: "gateway"}}, "", topology.RoleGateway},
		"no MAC":     {request.DockerRecord{Address: netip.MustParseAddr(serverAddr)}, "--mac-address", ""},
		"no address": {request.DockerRecord{MAC: gatewayMAC}, "--ip", ""},
		"outside": {request.DockerRecord{Address: netip.MustParseAddr("10.0.0.1"), MAC: gatewayMAC},
			"not in the subnet", ""},
		"an unknown option": {request.DockerRecord{Address: netip.MustParseAddr(serverAddr), MAC: gatewayMAC,
			Options: map[string]string{"mcpnet.x": "y"}}, "mcpnet.x", ""},
	} {
		p, err := c.record.Words(n).Endpoint(n)
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: got %v, want %q", name, err, c.want)
			}
			continue
		}
		if err != nil || p.Role != c.role || p.MAC.String() != c.record.MAC {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

// TestCNIWishes: CNI has four places for what an endpoint wants.
func TestCNIWishes(t *testing.T) {
	role := func(r string) map[string]any {
		annotations := map[string]string{policy.KeyRole: r, "role": "x"}
		return map[string]any{"runtimeConfig": map[string]any{"io.kubernetes.cri.pod-annotations": annotations}}
	}
	narrowed := role("gateway")
	narrowed["role"] = "server"
	inArgs := func(v map[string]any) map[string]any { return map[string]any{"args": map[string]any{"cni": v}} }
	for name, c := range map[string]struct {
		config map[string]any
		args   map[string]string
		ipam   string
		wants  string // addresses, or
		says   string // a problem
	}{
		"nothing":    {nil, nil, "host-local", "", ""},
		"annotation": {role("gateway"), nil, "host-local", gatewayAddr + " 172.20.250.1", ""},
		"CNI_ARGS": {nil, map[string]string{policy.KeyRole: "gateway", "K8S_POD_NAME": "x"},
			"host-local", gatewayAddr + " 172.20.250.1", ""},
		"the conflist": {map[string]any{"role": "gateway"}, nil, "host-local",
			gatewayAddr + " 172.20.250.1", ""},
		"args.cni": {inArgs(map[string]any{policy.KeyRole: "gateway", "labels": []string{}}), nil,
			"host-local", gatewayAddr + " 172.20.250.1", ""},
		"IP": {nil, map[string]string{"IP": "172.20.7.7"}, "host-local", "172.20.7.7", ""},
		"IP and a role": {role("gateway"), map[string]string{"IP": "172.20.250.1"}, "host-local",
			"172.20.250.1", ""},
		"args.cni.ips": {inArgs(map[string]any{"ips": []string{"172.20.7.7/16"}}), nil, "host-local",
			"172.20.7.7", ""},
		"the same twice": {inArgs(map[string]any{"ips": []string{"172.20.7.7"}}),
			map[string]string{"IP": "172.20.7.7"}, "host-local", "172.20.7.7", ""},
		"two addresses": {inArgs(map[string]any{"ips": []string{"172.20.7.7"}}),
			map[string]string{"IP": "172.20.7.8"}, "host-local", "", `ips="172.20.7.7,172.20.7.8"`},
		"IPv6": {nil, map[string]string{"IP": "fd00::7"}, "host-local", "",
			`ips="fd00::7": not an IPv4 address`},
		"a role that widens":      {narrowed, nil, "host-local", "", "annotation mcpnet.role"},
		"a role that there's not": {role("gatway"), nil, "host-local", "", "mean gateway?"},
		"an annotation in another case": {map[string]any{"runtimeConfig": map[string]any{"io.kubernetes.cri.pod-annotations": map[string]string{
			"Mcpnet.Role": "server"}}}, nil, "host-local", "", "keys of mcpnet's are in lower case; did you mean mcpnet.role?"},
		"an argument in another case": {inArgs(map[string]any{"MCPNET.role": "server"}), nil, "host-local", "", "args.cni MCPNET.role"},
		"types": {inArgs(map[string]any{"ips": 1, "mac": 2, policy.KeyRole: 3}), nil,
			"host-local", "", "4 problems"},
		"bandwidth": {map[string]any{"runtimeConfig": map[string]any{"bandwidth": map[string]int{"ingressRate": 1}}}, nil,
			"host-local", "", "bandwidth="},
		"no bandwidth": {map[string]any{"runtimeConfig": map[string]any{"bandwidth": nil}}, nil,
			"host-local", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := cniEndpoint(t, c.config, c.args, c.ipam)
			err := w.Check()
			if (err != nil) != (c.says != "") || (err != nil && !strings.Contains(err.Error(), c.says)) {
				t.Fatalf("got %v, want %q", err, c.says)
			}
			var got []string
			for _, a := range w.Wants(network(t).Policy) {
				got = append(got, a.String())
			}
			if err == nil && !slices.Equal(got, strings.Fields(c.wants)) {
				t.Errorf("wants %v, not %q", got, c.wants)
			}
		})
	}
	if !cniEndpoint(t, nil, nil, "static").Asked || cniEndpoint(t, nil, nil, "dhcp").Asked {
		t.Error("the static plugin gives what was asked for, others give anything")
	}
}

// TestCNIHardwareAddress: of the three places for it the runtime's own counts most.
func TestCNIHardwareAddress(t *testing.T) {
	config := map[string]any{"args": map[string]any{"cni": map[string]any{"mac": "02:00:00:00:00:01"}}}
	if got := cniEndpoint(t, config, nil, "").MAC; got != "02:00:00:00:00:01" {
		t.Errorf("args.cni: %s", got)
	}
	args := map[string]string{"MAC": "02:00:00:00:00:02"}
	if got := cniEndpoint(t, config, args, "").MAC; got != "02:00:00:00:00:02" {
		t.Errorf("CNI_ARGS: %s", got)
	}
	config["runtimeConfig"] = map[string]any{"mac": "02:00:00:00:00:03"}
	if got := cniEndpoint(t, config, args, "").MAC; got != "02:00:00:00:00:03" {
		t.Errorf("runtimeConfig: %s", got)
	}
}

// TestExistingInterface: in a chain a server keeps the hardware address that its interface has, and a gateway gets
// its own.
func TestExistingInterface(t *testing.T) {
	has := topology.HardwareAddr{2, 0, 0, 0, 0, 9}
	for ip, want := range map[string]string{serverAddr: has.String(), gatewayAddr: gatewayMAC} {
		w := request.EndpointWords{Surface: surface.CNI, Addrs: []netip.Addr{netip.MustParseAddr(ip)}, Asked: true,
			ExistingMAC: has}
		if p, err := w.Endpoint(network(t)); err != nil || p.MAC.String() != want {
			t.Errorf("%s: %s, %v", ip, p.MAC, err)
		}
	}
}

func TestResolvers(t *testing.T) {
	n := network(t)
	named := []string{"203.0.113.53"}
	server, gateway := topology.Endpoint{Role: topology.RoleServer}, topology.Endpoint{Role: topology.RoleGateway}
	if got := request.Resolvers(n, gateway, named); !slices.Equal(got, named) {
		t.Errorf("a gateway: %v", got)
	}
	if got := request.Resolvers(n, server, named); len(got) != 0 {
		t.Errorf("a server: %v", got)
	}
	n.Policy.DNS = policy.DNSGateway
	if got := request.Resolvers(n, server, named); !slices.Equal(got, []string{gatewayAddr, "172.20.250.1"}) {
		t.Errorf("a server with dns=gateway: %v", got)
	}
}
