package request_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var exact = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

// said is what a user wants of a network, which each surface has its own words for.
type said struct {
	options        map[string]string
	subnet, bridge string
	bridgeName     string
	internal, ipv6 bool
}

func with(pairs ...string) map[string]string {
	options := map[string]string{policy.KeyGateway: "172.20.0.100:8080"}
	for i := 0; i < len(pairs); i += 2 {
		options[pairs[i]] = pairs[i+1]
	}
	return options
}

// surfaces turn what a user wants into the words of a surface, as far as it has words for it.
var surfaces = map[topology.Owner]func(*testing.T, said) request.NetworkWords{
	topology.OwnerDocker: func(_ *testing.T, s said) request.NetworkWords {
		generic := map[string]any{}
		for k, v := range s.options {
			generic[k] = v
		}
		if s.bridgeName != "" {
			generic[policy.KeyBridge] = s.bridgeName
		}
		n := request.DockerNetwork{ID: "n", Options: map[string]any{"com.docker.network.generic": generic,
			"com.docker.network.internal": s.internal, "com.docker.network.enable_ipv6": s.ipv6}}
		if s.subnet != "" {
			subnet := netip.MustParsePrefix(s.subnet)
			bridge := netip.PrefixFrom(subnet.Masked().Addr().Next(), subnet.Bits()).String() // Docker chooses by itself
			if s.bridge != "" {
				bridge = s.bridge + "/16"
			}
			n.IPv4 = []request.DockerPool{{Subnet: s.subnet, Gateway: bridge}}
		}
		return n.Words()
	},
	topology.OwnerCNI: func(t *testing.T, s said) request.NetworkWords {
		inPolicy := map[string]any{}
		for k, v := range s.options {
			inPolicy[strings.TrimPrefix(k, "mcpnet.")] = v
		}
		if s.internal { // it has no such option, but the policy says the same
			inPolicy["gateway.egress"] = "off"
		}
		entry := map[string]any{"name": "n", "type": "mcpnet", "cniVersion": "1.0.0", "policy": inPolicy}
		if s.bridgeName != "" {
			entry["bridge"] = s.bridgeName
		}
		w := cniWords(t, entry)
		if s.subnet != "" {
			w.Subnet = netip.MustParsePrefix(s.subnet)
		}
		if s.bridge != "" {
			w.BridgeAddr = netip.MustParseAddr(s.bridge)
		}
		w.IPv6 = s.ipv6
		return w
	},
	topology.OwnerNetavark: func(_ *testing.T, s said) request.NetworkWords {
		n := request.NetavarkNetwork{ID: "n", Options: s.options, Interface: s.bridgeName, Internal: s.internal,
			IPv6: s.ipv6}
		if s.subnet != "" {
			n.Subnets = []request.NetavarkSubnet{{Subnet: netip.MustParsePrefix(s.subnet)}}
			if s.bridge != "" {
				n.Subnets[0].Gateway = netip.MustParseAddr(s.bridge)
			}
		}
		return n.Words()
	},
}

func cniWords(t *testing.T, entry map[string]any) request.NetworkWords {
	t.Helper()
	data, err := json.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	var c request.CNIConfig
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c.NetworkWords("n", data)
}

// TestSameNetwork: the same wish gives the same network on every surface.
func TestSameNetwork(t *testing.T) {
	for name, c := range map[string]struct {
		said said
		want func(*topology.Network)
	}{
		"plain":     {said{options: with(), subnet: "172.20.0.0/16"}, func(*topology.Network) {}},
		"host bits": {said{options: with(), subnet: "172.20.7.7/16"}, func(*topology.Network) {}},
		"the bridge's": {said{options: with(), subnet: "172.20.0.0/16", bridge: "172.20.0.9"},
			func(n *topology.Network) { n.BridgeAddr = netip.MustParseAddr("172.20.0.9") }},
		"the bridge's name": {said{options: with(), subnet: "172.20.0.0/16", bridgeName: "br0"},
			func(n *topology.Network) { n.Bridge, n.Policy.Bridge = "br0", "br0" }},
		"no egress": {said{options: with(policy.KeyEgress, "off"), subnet: "172.20.0.0/16"},
			func(n *topology.Network) { n.Policy.Egress = policy.Egress{} }},
		"--internal": {said{options: with(), subnet: "172.20.0.0/16", internal: true},
			func(n *topology.Network) { n.Policy.Egress = policy.Egress{} }},
		"--internal and off": {said{options: with(policy.KeyEgress, "off"), subnet: "172.20.0.0/16",
			internal: true}, func(n *topology.Network) { n.Policy.Egress = policy.Egress{} }},
		"a policy": {said{options: with(policy.KeyMode, "audit"), subnet: "172.20.0.0/16"},
			func(n *topology.Network) { n.Policy.Mode = policy.ModeAudit }},
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := policy.Parse(with())
			if err != nil {
				t.Fatal(err)
			}
			want := topology.Network{ID: "n", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
				BridgeAddr: netip.MustParseAddr("172.20.0.1"), Policy: parsed}
			c.want(&want)
			for owner, words := range surfaces {
				got, err := words(t, c.said).Network()
				if err != nil {
					t.Errorf("%s: %v", owner, err)
					continue
				}
				got.Name = ""
				if diff := cmp.Diff(want, got, exact); diff != "" {
					t.Errorf("%s:\n%s", owner, diff)
				}
			}
		})
	}
}

// TestSameProblems: the same mistake has the same reason on every surface, and a key that its users know.
func TestSameProblems(t *testing.T) {
	for name, c := range map[string]struct {
		said   said
		key    func(surface.Words) string
		reason string
	}{
		"no gateway": {said{subnet: "172.20.0.0/16"},
			func(w surface.Words) string { return w.PolicyPrefix + "gateway" }, "required"},
		"misspelt": {said{options: with("mcpnet.mdoe", "x"), subnet: "172.20.0.0/16"},
			func(w surface.Words) string { return w.PolicyPrefix + "mdoe" }, "unknown key"},
		"gateway elsewhere": {said{options: with(policy.KeyGateway, "10.1.1.1:80"), subnet: "172.20.0.0/16"},
			func(w surface.Words) string { return w.PolicyPrefix + "gateway" }, "not in the subnet"},
		"bridge elsewhere": {said{options: with(), subnet: "172.20.0.0/16", bridge: "10.1.1.1"},
			func(w surface.Words) string { return w.BridgeAddr }, "not in the subnet"},
		"small": {said{options: with(policy.KeyGateway, "172.20.0.1:80"), subnet: "172.20.0.0/31"},
			func(w surface.Words) string { return w.Subnet }, "too small"},
		"IPv6": {said{options: with(), subnet: "172.20.0.0/16", ipv6: true},
			func(w surface.Words) string { return w.IPv6 }, "IPv6 is denied"},
		"the bridge's name": {said{options: with(), subnet: "172.20.0.0/16", bridgeName: "0br"},
			func(w surface.Words) string { return w.BridgeName }, "must begin with a letter"},
		"no subnet": {said{options: with()}, func(w surface.Words) string { return w.Subnet }, "subnet"},
		"gateway is a bridge": {said{options: with(policy.KeyGateway, "172.20.0.1:80"), subnet: "172.20.0.0/16"},
			func(w surface.Words) string { return w.PolicyPrefix + "gateway" }, "the bridge's own address"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, s := range surface.All() {
				_, err := surfaces[s.Owner](t, c.said).Network()
				problems, _ := problem.Of(err)
				var found problem.List
				for _, p := range problems {
					if p.Key == c.key(s.Words) && strings.Contains(p.Reason, c.reason) {
						found = append(found, p)
					}
				}
				if len(found) == 0 {
					t.Errorf("%s: no %s with %q in: %v", s.Owner, c.key(s.Words), c.reason, err)
				}
			}
		})
	}
}

// TestEveryProblem: what is wrong with the words comes together with what is wrong with the policy and with the
// network.
func TestEveryProblem(t *testing.T) {
	for name, c := range map[string]struct {
		words request.NetworkWords
		want  []string
	}{
		"Docker": {request.DockerNetwork{ID: "n",
			Options: map[string]any{"com.docker.network.enable_ipv4": false, "com.docker.network.internal": true,
				"com.docker.network.generic": map[string]any{"mcpnet.gateway": 7,
					"mcpnet.gateway.egress": "dns"}}, IPv6: true, IPv4: []request.DockerPool{{Subnet: "x", Gateway: "y"}}}.Words(),
			[]string{"7 problems", "--gateway=", "--ipv4=", "--ipv6:", "--subnet=",
				`mcpnet.gateway="7 (int; not a string)"`, "an --internal network has no egress; accepted: off, or no --internal"}},
		"CNI": {cniWords(t, map[string]any{"polcy": 1, "ipMasq": true, "gateway.egress": "off", "bridge": "0", "mtu": 3,
			"policy": map[string]any{"mode": map[string]int{}, "log": "all", "mcpnet.log": "all",
				"gateway": []string{"10.0.0.1:0"}}}),
			[]string{"8 problems", "polcy=", "mean policy?", "ipMasq=", "bridge plugin", "gateway.egress=",
				"object policy", "bridge=", "mtu=", "policy.mode=", "given twice", `policy.gateway="10.0.0.1:0"`}},
		"netavark": {request.NetavarkNetwork{Options: with(policy.KeyBridge, "br1", policy.KeyEgress, "dns",
			"mcpnet.log", "no"), Interface: "br2", Internal: true, IPv6: true,
			Routes: []json.RawMessage{[]byte("{}")}, IPAM: map[string]string{"driver": "dhcp"},
			Subnets: make([]request.NetavarkSubnet, 2)}.Words(),
			[]string{"7 problems", "--interface-name says br2", "--route:", "--ipam-driver=", "--ipv6:",
				"2 subnets", "mcpnet.log=", "an --internal network has no egress"}},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := c.words.Network()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("lacks %q:\n%v", part, err)
				}
			}
			if diff := cmp.Diff(topology.Network{}, n, exact); diff != "" {
				t.Errorf("a network came with the error: %s", diff)
			}
		})
	}
}

// TestPolicyAlone: with CNI the subnet is not known before IPAM is asked.
func TestPolicyAlone(t *testing.T) {
	w := cniWords(t, map[string]any{"policy": map[string]any{"gateway": []string{"172.20.0.100:8080"},
		"mcpnet.mode": "audit"}, "mtu": 1400})
	p, err := w.Policy()
	if err != nil || p.Mode != policy.ModeAudit || p.MTU != 1400 || !p.IsGateway(netip.MustParseAddr("172.20.0.100")) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := w.Network(); err == nil || !strings.Contains(err.Error(), "ipam.subnet") {
		t.Errorf("a network without a subnet: %v", err)
	}
}

// TestChain: in a chain the network is what the plugin before made.
func TestChain(t *testing.T) {
	entry := func(more map[string]any) map[string]any {
		more["policy"] = map[string]any{"gateway": "172.20.0.100:8080"}
		return more
	}
	made := request.CNIInterface{Host: "veth0", Bridge: "cni0", MTU: 1400,
		Addrs: []netip.Prefix{netip.MustParsePrefix("172.20.0.7/16")}}
	for name, c := range map[string]struct {
		entry map[string]any
		made  func(*request.CNIInterface)
		want  string // a problem, or
		check func(topology.Network) bool
	}{
		"as it is": {entry(map[string]any{}), nil, "", func(n topology.Network) bool {
			return n.Bridge == "cni0" && n.Chained && n.Policy.MTU == 1400 && n.BridgeAddr.String() == "172.20.0.1"
		}},
		"own MTU": {entry(map[string]any{"mtu": 1300}), nil, "",
			func(n topology.Network) bool { return n.Policy.MTU == 1300 }},
		"own gateway": {entry(map[string]any{}),
			func(i *request.CNIInterface) { i.Gateway = netip.MustParseAddr("172.20.0.3") }, "",
			func(n topology.Network) bool { return n.BridgeAddr.String() == "172.20.0.3" }},
		"same bridge": {entry(map[string]any{"bridge": "cni0"}), nil, "",
			func(n topology.Network) bool { return n.Bridge == "cni0" }},
		"another bridge": {entry(map[string]any{"bridge": "br0"}), nil,
			`bridge="br0": the plugin before mcpnet uses cni0`, nil},
		"no bridge": {entry(map[string]any{}), func(i *request.CNIInterface) { i.Bridge = "" },
			"prevResult: interface veth0 of the host is a port of no bridge", nil},
		"bridge with a name that is text of rules": {entry(map[string]any{}),
			func(i *request.CNIInterface) { i.Bridge = `b";flush` }, `prevResult: its bridge "b\";flush": only the letters`, nil},
		"bridge with a wire's name": {entry(map[string]any{}),
			func(i *request.CNIInterface) { i.Bridge = "mcpw0" }, `prevResult: its bridge "mcpw0": names that begin with mcpw`, nil},
		"no address": {entry(map[string]any{}), func(i *request.CNIInterface) { i.Addrs = nil },
			"prevResult: has 0 addresses", nil},
		"IPv6": {entry(map[string]any{}),
			func(i *request.CNIInterface) { i.Addrs = []netip.Prefix{netip.MustParsePrefix("fd00::1/64")} },
			"prevResult: has 1 addresses", nil},
		"elsewhere": {entry(map[string]any{}),
			func(i *request.CNIInterface) { i.Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.7/8")} },
			"policy.gateway", nil},
	} {
		t.Run(name, func(t *testing.T) {
			made := made
			if c.made != nil {
				c.made(&made)
			}
			n, err := made.On(cniWords(t, c.entry)).Network()
			switch {
			case c.want == "" && (err != nil || !c.check(n)):
				t.Errorf("%+v, %v", n, err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestIsDockerDriver(t *testing.T) {
	for name, want := range map[string]bool{
		"mcpnet": true, "mcpnet:latest": true, "mcpnet/driver": true, "mcpnet/driver:1.0": true,
		"docker.io/mcpnet/driver:latest": true,
		"localhost:5000/mcpnet/driver":   true, "localhost:5000/mcpnet/driver:dev": true,
		"ghcr.io/x/mcpnet/driver@sha256:00": true,
		"evilmcpnet/driver":                 false, "evilmcpnet/driver:latest": false, "mcpnet/driver-of-others": false,
		"mcpnet/driver/x": false,
		"x/mcpnet":        false, "driver": false, "bridge": false, "": false, "mcpnetx": false, "xmcpnet": false,
	} {
		if got := request.IsDockerDriver(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}
