package request_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/request"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func lease(start, end string) *request.NetavarkLease {
	l := &request.NetavarkLease{}
	if start != "" {
		l.Start = netip.MustParseAddr(start)
	}
	if end != "" {
		l.End = netip.MustParseAddr(end)
	}
	return l
}

// TestComplete: what Podman's user does not say is chosen so that nobody gets a gateway's address by chance.
func TestComplete(t *testing.T) {
	const sixteen = "172.20.0.0/16"
	used := []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}
	for name, c := range map[string]struct {
		gateway, subnet, bridge string
		lease                   *request.NetavarkLease
		want                    string // subnet, bridge and range, or
		says                    string // a problem
	}{
		"nothing said": {"172.20.0.100:80", "", "", nil,
			"172.20.0.0/24 172.20.0.1 172.20.0.101-172.20.0.254", ""},
		"a subnet": {"172.20.0.100:80", sixteen, "", nil,
			"172.20.0.0/16 172.20.0.1 172.20.0.101-172.20.255.254", ""},
		"a bridge at the end": {"172.20.0.100:80", "172.20.0.0/24", "172.20.0.254", nil,
			"172.20.0.0/24 172.20.0.254 172.20.0.101-172.20.0.253", ""},
		"a gateway at the end": {"172.20.0.250:80", "172.20.0.0/24", "", nil,
			"172.20.0.0/24 172.20.0.1 172.20.0.2-172.20.0.249", ""},
		"two gateways": {"172.20.0.100:80,172.20.0.101:81", "172.20.0.0/24", "", nil,
			"172.20.0.0/24 172.20.0.1 172.20.0.102-172.20.0.254", ""},
		"runs of the same length": {"172.20.0.128:80", "172.20.0.0/24", "", nil,
			"172.20.0.0/24 172.20.0.1 172.20.0.2-172.20.0.127", ""},
		"one address is free": {"172.20.0.2:80", "172.20.0.0/29", "172.20.0.5",
			lease("172.20.0.3", "172.20.0.3"), "172.20.0.0/29 172.20.0.5 172.20.0.3-172.20.0.3", ""},
		"host bits": {"172.20.0.100:80", "172.20.0.7/24", "", nil,
			"172.20.0.7/24 172.20.0.1 172.20.0.101-172.20.0.254", ""},
		"a range": {"172.20.0.100:80", sixteen, "", lease("172.20.240.0", "172.20.255.254"),
			"172.20.0.0/16 172.20.0.1 172.20.240.0-172.20.255.254", ""},
		"a range without its end": {"172.20.0.100:80", sixteen, "", lease("172.20.240.0", ""),
			"172.20.0.0/16 172.20.0.1 172.20.240.0-172.20.255.254", ""},
		"a range without its start": {"172.20.200.100:80", sixteen, "", lease("", "172.20.100.0"),
			"172.20.0.0/16 172.20.0.1 172.20.0.1-172.20.100.0", ""},

		"a gateway in the range": {"172.20.0.100:80", sixteen, "",
			lease("172.20.0.2", "172.20.0.200"), "",
			`--ip-range="172.20.0.2 to 172.20.0.200": Podman would give the gateway's address 172.20.0.100`},
		"a gateway in a range without its end": {"172.20.0.100:80", sixteen, "", lease("172.20.0.2", ""), "",
			"Podman would give the gateway's address 172.20.0.100"},
		"a gateway in a range without its start": {"172.20.0.100:80", sixteen, "", lease("", "172.20.0.200"), "",
			"Podman would give the gateway's address 172.20.0.100"},
		"a gateway in a range without either": {"172.20.0.100:80", sixteen, "", lease("", ""), "",
			"Podman would give the gateway's address 172.20.0.100"},
		"two gateways in the range": {"172.20.0.100:80,172.20.0.101:81", sixteen, "",
			lease("172.20.0.2", "172.20.0.200"), "", "2 problems"},
		"a range that ends before it begins": {"172.20.0.100:80", sixteen, "",
			lease("172.20.3.0", "172.20.2.0"), "",
			`--ip-range="172.20.3.0 to 172.20.2.0": not a range of the subnet's addresses`},
		"a range of another subnet": {"172.20.0.100:80", sixteen, "", lease("10.0.0.1", "10.0.0.9"),
			"", "not a range of the subnet's addresses"},
		"a range that begins before the subnet": {"172.20.0.100:80", sixteen, "", lease("10.0.0.1", ""), "",
			`--ip-range="10.0.0.1": not a range of the subnet's addresses`},
		"the subnet is used": {"10.0.0.100:80", "", "", nil, "",
			"--subnet: none given, and 10.0.0.0/24 around the gateway 10.0.0.100 overlaps 10.0.0.5/24 of this host"},
		"no room for servers": {"172.20.0.2:80", "172.20.0.0/30", "", nil, "",
			"holds nothing but the bridge and gateways"},
		"a subnet without room": {"172.20.0.0:80", "172.20.0.0/31", "", nil, "", "too small"},
		"IPv6": {"172.20.0.100:80", "fd00::/64", "", nil, "",
			"an IPv4 subnet is needed"},
		"a wrong policy": {"x", "", "", nil, "", `mcpnet.gateway="x"`},
		"a wrong policy and a wrong bridge's name": {"x", sixteen, "10.0.0.1", nil, "", "3 problems"},
	} {
		t.Run(name, func(t *testing.T) {
			n := request.NetavarkNetwork{Options: map[string]string{policy.KeyGateway: c.gateway}}
			if c.subnet != "" {
				n.Subnets = []request.NetavarkSubnet{{Subnet: netip.MustParsePrefix(c.subnet), Lease: c.lease}}
			}
			if c.bridge != "" {
				n.Subnets[0].Gateway = netip.MustParseAddr(c.bridge)
			}
			done, err := n.Complete(used)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("got %v, want %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			s := done.Subnets[0]
			if got := s.Subnet.String() + " " + s.Gateway.String() + " " + s.Lease.Start.String() + "-" +
				s.Lease.End.String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if c.subnet != "" && c.bridge == "" && n.Subnets[0].Gateway.IsValid() {
				t.Error("the network that was given is changed")
			}
		})
	}
}

// TestOpenRange: a range with one end reaches to the other end of the subnet. A gateway's address in it shows
// nothing, and one outside was asked for.
func TestOpenRange(t *testing.T) {
	for name, c := range map[string]struct {
		lease *request.NetavarkLease
		want  topology.Role // none: refused
	}{
		"no range":                         {nil, ""},
		"in a range without its end":       {lease("172.20.0.2", ""), ""},
		"in a range without its start":     {lease("", "172.20.0.200"), ""},
		"in a range without either":        {lease("", ""), ""},
		"before a range without its end":   {lease("172.20.0.101", ""), topology.RoleGateway},
		"after a range without its start":  {lease("", "172.20.0.99"), topology.RoleGateway},
		"outside a range":                  {lease("172.20.240.0", "172.20.255.254"), topology.RoleGateway},
		"in a range":                       {lease("172.20.0.1", "172.20.255.254"), ""},
		"a range that is none":             {lease("172.20.3.0", "172.20.2.0"), ""},
		"a range of another subnet":        {lease("10.0.0.1", "10.0.0.9"), ""},
		"a range that begins elsewhere":    {lease("10.0.0.1", ""), ""},
		"a range that ends in another one": {lease("", "10.0.0.1"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := network(t)
			subnets := []request.NetavarkSubnet{{Subnet: n.Subnet, Lease: c.lease}}
			call := request.NetavarkCall{Network: request.NetavarkNetwork{Subnets: subnets},
				Options: request.NetavarkContainer{IPs: []netip.Addr{netip.MustParseAddr(gatewayAddr)}}}
			p, err := call.Words("e").Endpoint(n)
			if p.Role != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v", p.Role, err)
			}
		})
	}
}

// TestNetavarkNames: what Podman names reaches the network and the endpoint.
func TestNetavarkNames(t *testing.T) {
	n, err := request.NetavarkNetwork{ID: "4f2a", Name: "tools", Interface: "br-tools", Options: map[string]string{policy.KeyGateway: gatewayAddr + ":80"},
		Subnets: []request.NetavarkSubnet{{Subnet: netip.MustParsePrefix("172.20.0.0/16")}}}.Words().Network()
	if err != nil || n.ID != "4f2a" || n.Name != "tools" || n.Bridge != "br-tools" {
		t.Errorf("%+v, %v", n, err)
	}
	call := request.NetavarkCall{ContainerName: "search", Options: request.NetavarkContainer{Interface: "eth1", IPs: []netip.Addr{netip.MustParseAddr("172.20.0.7")}}}
	e, err := call.Words("e").Endpoint(n)
	if err != nil || e.ID != "e" || e.NetworkID != "4f2a" || e.Container != "search" || e.Interface != "eth1" || e.IP.String() != "172.20.0.7" {
		t.Errorf("%+v, %v", e, err)
	}
}
