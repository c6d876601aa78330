package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
)

func network(subnet, bridge string) policy.Network {
	n := policy.Network{Subnet: netip.MustParsePrefix(subnet)}
	if bridge != "" {
		n.BridgeAddr = netip.MustParseAddr(bridge)
	}
	return n
}

func onAddrs(addrs ...string) policy.Policy {
	p := policy.Defaults()
	for _, a := range addrs {
		p.Gateways = append(p.Gateways, gateway(a, policy.TCP, 80), gateway(a, policy.TCP, 81))
	}
	return p
}

func TestValidate(t *testing.T) {
	const (
		outside   = "not in the subnet; gateways on the host or outside the subnet are " + later
		onBridge  = "this is the bridge's own address, and a gateway on the host is " + later
		first     = "this is the subnet's network address"
		last      = "this is the subnet's broadcast address"
		needIPv4  = "an IPv4 subnet is needed"
		small     = "too small for a bridge and a gateway"
		ipv6      = "IPv6 is denied entirely on mcpnet networks in this version"
		subnetKey = "--subnet"
	)
	withIPv6 := network("172.20.0.0/31", "172.20.0.0")
	withIPv6.IPv6 = true
	tests := []struct {
		name    string
		policy  policy.Policy
		network policy.Network
		want    []refusal
	}{
		{"inside", onAddrs("172.20.0.100", "172.20.255.254"), network("172.20.0.0/16", "172.20.0.1"), nil},
		{"host bits", onAddrs("172.20.0.100"), network("172.20.3.4/16", "172.20.0.1"), nil},
		{"no bridge address", onAddrs("172.20.0.100"), network("172.20.0.0/16", ""), nil},
		{"smallest", onAddrs("172.20.0.2"), network("172.20.0.0/30", "172.20.0.1"), nil},
		{"no gateway is Parse's concern", policy.Defaults(), network("172.20.0.0/16", "172.20.0.1"), nil},
		{"outside", onAddrs("172.21.0.1"), network("172.20.0.0/16", "172.20.0.1"),
			[]refusal{{policy.KeyGateway, "172.21.0.1", outside, ""}}},
		{"bridge", onAddrs("172.20.0.1"), network("172.20.0.0/16", "172.20.0.1"),
			[]refusal{{policy.KeyGateway, "172.20.0.1", onBridge, ""}}},
		{"bridge outside", onAddrs("172.20.0.100"), network("172.20.0.0/16", "172.21.0.1"),
			[]refusal{{"--gateway", "172.21.0.1", "the bridge's address is not in the subnet", ""}}},
		{"bridge in IPv6 form", onAddrs("172.20.0.1"), network("172.20.0.0/16", "::ffff:172.20.0.1"),
			[]refusal{{policy.KeyGateway, "172.20.0.1", onBridge, ""}}},
		{"edges", onAddrs("172.20.8.0", "172.20.15.255", "172.20.8.255"), network("172.20.8.0/21", "172.20.8.1"),
			[]refusal{{policy.KeyGateway, "172.20.8.0", first, ""}, {policy.KeyGateway, "172.20.15.255", last, ""}}},
		{"edges with host bits", onAddrs("10.0.0.0", "10.255.255.255"), network("10.1.2.3/8", "10.0.0.1"),
			[]refusal{{policy.KeyGateway, "10.0.0.0", first, ""}, {policy.KeyGateway, "10.255.255.255", last, ""}}},
		{"everything", onAddrs("10.0.0.1"), network("0.0.0.0/0", ""), nil},
		{"too small", onAddrs("172.20.0.1"), network("172.20.0.0/31", ""),
			[]refusal{{subnetKey, "172.20.0.0/31", small, ""}}},
		{"no subnet", onAddrs("172.20.0.1"), policy.Network{}, []refusal{{subnetKey, "", needIPv4, ""}}},
		{"IPv6 subnet", onAddrs("172.20.0.1"), network("fd00::/64", ""), []refusal{{subnetKey, "fd00::/64", needIPv4, ""}}},
		{"mapped subnet", onAddrs("172.20.0.1"), network("::ffff:172.20.0.0/112", ""),
			[]refusal{{subnetKey, "::ffff:172.20.0.0/112", needIPv4, ""}}},
		{"all at once", onAddrs("172.20.0.0", "172.20.0.2"), withIPv6, []refusal{
			{"--ipv6", "", ipv6, ""},
			{subnetKey, "172.20.0.0/31", small, ""},
			{policy.KeyGateway, "172.20.0.0", onBridge, ""},
			{policy.KeyGateway, "172.20.0.2", outside, ""},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.policy.Validate(tt.network)
			if tt.want == nil {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, refusals(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestValidateMessages(t *testing.T) {
	n := network("172.20.0.0/16", "172.20.0.1")
	n.IPv6 = true
	want := []string{
		`3 problems:`,
		`1. --ipv6: IPv6 is denied entirely on mcpnet networks in this version; accepted: IPv4 alone: drop --ipv6`,
		`2. mcpnet.gateway="172.20.0.1": this is the bridge's own address, and a gateway on the host is known, not supported in this version; accepted: another address of 172.20.0.0/16, or another --gateway for the bridge`,
		`3. mcpnet.gateway="10.0.0.1": not in the subnet; gateways on the host or outside the subnet are known, not supported in this version; accepted: an address of 172.20.0.0/16`,
	}
	err := onAddrs("172.20.0.1", "10.0.0.1").Validate(n)
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
}
