package policy_test

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// with returns options that are valid but for the pairs given.
func with(pairs ...string) map[string]string {
	options := map[string]string{policy.KeyGateway: "172.20.0.100:8080"}
	for i := 0; i < len(pairs); i += 2 {
		options[pairs[i]] = pairs[i+1]
	}
	return options
}

func TestParseAccepts(t *testing.T) {
	type edit = func(*policy.Policy)
	tests := []struct {
		key, value string
		want       edit
	}{
		{policy.KeyGateway, "172.20.0.100:8080", func(*policy.Policy) {}},
		{policy.KeyGateway, "172.20.0.100:8080/tcp", func(*policy.Policy) {}},
		{policy.KeyGateway, " 10.0.0.1:1 , 10.0.0.1:1/udp,10.0.0.2:65535/tcp ", func(p *policy.Policy) {
			p.Gateways = []policy.Gateway{
				gateway("10.0.0.1", policy.TCP, 1), gateway("10.0.0.1", policy.UDP, 1), gateway("10.0.0.2", policy.TCP, 65535)}
		}},
		{policy.KeyConnect, "off", func(p *policy.Policy) { p.Connect = policy.Connect{} }},
		{policy.KeyConnect, "tcp", func(*policy.Policy) {}},
		{policy.KeyConnect, "tcp/3000, tcp/3001", func(p *policy.Policy) {
			p.Connect = policy.Connect{Ports: []policy.Port{tcp(3000), tcp(3001)}}
		}},
		{policy.KeyEgress, "off", func(p *policy.Policy) { p.Egress = policy.Egress{} }},
		{policy.KeyEgress, "dns", func(p *policy.Policy) { p.Egress = policy.Egress{DNS: true} }},
		{policy.KeyEgress, "dns, udp/123,tcp/443", func(p *policy.Policy) {
			p.Egress = policy.Egress{Ports: []policy.Port{udp(123), tcp(443)}, DNS: true}
		}},
		{policy.KeyEgress, "udp/53,tcp/53", func(p *policy.Policy) {
			p.Egress = policy.Egress{Ports: []policy.Port{udp(53), tcp(53)}}
		}},
		{policy.KeyEgressTo, "public", func(*policy.Policy) {}},
		{policy.KeyEgressTo, "any", func(p *policy.Policy) { p.EgressTo = policy.Destinations{Any: true} }},
		{policy.KeyEgressTo, "10.1.0.0/16, 192.0.2.7", func(p *policy.Policy) {
			p.EgressTo = policy.Destinations{Only: true, Prefixes: []netip.Prefix{
				netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("192.0.2.7/32")}}
		}},
		{policy.KeyEgressTo, "10.1.0.0/16,public", func(p *policy.Policy) {
			p.EgressTo = policy.Destinations{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
		}},
		{policy.KeyDNS, "off", func(*policy.Policy) {}},
		{policy.KeyDNS, "gateway", func(p *policy.Policy) { p.DNS = policy.DNSGateway }},
		{policy.KeyLog, "off", func(p *policy.Policy) { p.Log = policy.LogOff }},
		{policy.KeyLog, "denied", func(*policy.Policy) {}},
		{policy.KeyLog, "all", func(p *policy.Policy) { p.Log = policy.LogAll }},
		{policy.KeyMode, "enforce", func(*policy.Policy) {}},
		{policy.KeyMode, "audit", func(p *policy.Policy) { p.Mode = policy.ModeAudit }},
		{policy.KeyCapsMode, "enforce", func(p *policy.Policy) { p.CapsMode = policy.CapsEnforce }},
		{policy.KeyCapsMode, "guard", func(*policy.Policy) {}},
		{policy.KeyCapsMode, "audit", func(p *policy.Policy) { p.CapsMode = policy.CapsAudit }},
		{policy.KeyFirewall, "auto", func(*policy.Policy) {}},
		{policy.KeyFirewall, "nftables", func(p *policy.Policy) { p.Firewall = policy.FirewallNFTables }},
		{policy.KeyBridge, "mcp-secure", func(p *policy.Policy) { p.Bridge = "mcp-secure" }},
		{policy.KeyBridge, "b", func(p *policy.Policy) { p.Bridge = "b" }},
		{policy.KeyBridge, "Br_0.1-23456789", func(p *policy.Policy) { p.Bridge = "Br_0.1-23456789" }},
		{policy.KeyMTU, "576", func(p *policy.Policy) { p.MTU = 576 }},
		{policy.KeyMTU, "65535", func(p *policy.Policy) { p.MTU = 65535 }},
		{"mcpnet.redirect", "off", func(*policy.Policy) {}},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			got, err := policy.Parse(with(tt.key, tt.value))
			if err != nil {
				t.Fatal(err)
			}
			want := policy.Defaults()
			want.Gateways = []policy.Gateway{gateway("172.20.0.100", policy.TCP, 8080)}
			tt.want(&want)
			if diff := cmp.Diff(want, got, exact); diff != "" {
				t.Error(diff)
			}
			checkRoundTrips(t, got)
		})
	}
}

func TestParseRefusesLaterKeys(t *testing.T) {
	for key, value := range map[string]string{
		"mcpnet.redirect":         "80,443",
		"mcpnet.redirect.exclude": "198.51.100.0/24",
		"mcpnet.limit.rate":       "25/min burst 50",
		"mcpnet.limit.conns":      "20",
		"mcpnet.limit.hits":       "10/60s",
		"mcpnet.log.prefix":       "mcpnet",
		"mcpnet.monitor":          "198.51.100.0/24",
		"mcpnet.vlan":             "eth0.100",
	} {
		_, err := policy.Parse(with(key, value))
		if diff := cmp.Diff([]refusal{{key, value, later, ""}}, refusals(t, err)); diff != "" {
			t.Errorf("%s: %s", key, diff)
		}
	}
}

func TestParseRefusesUnknownKeys(t *testing.T) {
	const unknown = "unknown key"
	resembles := func(key, rest string) string { return unknown + "; it resembles " + key + ", which is " + rest }
	tests := []struct{ key, reason, nearest string }{
		{"mcpnet.gatewayconnect", unknown, policy.KeyConnect},
		{"mcpnet.gateway_connect", unknown, policy.KeyConnect},
		{"mcpnet.gateway-egress", unknown, policy.KeyEgress},
		{"mcpnet.connect", unknown, policy.KeyConnect},
		{"egress", unknown, policy.KeyEgress},
		{"mcpnet_mode", unknown, policy.KeyMode},
		{"mcp.mode", unknown, policy.KeyMode},
		{"mcpnte.mode", unknown, policy.KeyMode},
		{"mode", unknown, policy.KeyMode},
		{"firewal", unknown, policy.KeyFirewall},
		{"MCPNET.MODE", unknown, policy.KeyMode},
		{"mcpnet.dsn", unknown, policy.KeyDNS},
		{"mcpnet.Log", unknown, policy.KeyLog},
		{"mtu", unknown, policy.KeyMTU},
		{"mcpnet.mtu", unknown, policy.KeyMTU},
		{"com.docker.network.mtu", unknown, policy.KeyMTU},
		{"com.docker.network.driver.mtus", unknown, policy.KeyMTU},
		{"com.docker.network.bridge.nam", unknown, policy.KeyBridge},
		{"bridge.name", unknown, policy.KeyBridge},
		{"mcpnet.alow", unknown, policy.KeyAllow},
		{"caps", unknown, policy.KeyCaps},
		{"mcpnet.rol", resembles(policy.KeyRole, "set on an endpoint"), ""},
		{"mcpnet.foo", unknown, ""},
		{"mcpnet.", unknown, ""},
		{"mcpnet", unknown, ""},
		{"", unknown, ""},
		{"com.docker.network.", unknown, ""},
		{"com.docker.network.endpoint.ifname", unknown, ""},
		{"com.example.thing", unknown, ""},
		{strings.Repeat("mcpnet.gateway", 1000), unknown, ""},
		{policy.KeyRole, "set it on an endpoint, not on the network", ""},
	}
	for _, tt := range tests {
		_, err := policy.Parse(with(tt.key, "v"))
		if diff := cmp.Diff([]refusal{{tt.key, "v", tt.reason, tt.nearest}}, refusals(t, err)); diff != "" {
			t.Errorf("%s: %s", tt.key, diff)
		}
	}
}

func TestParseRefusesBridgeDriverKeys(t *testing.T) {
	for _, key := range []string{
		"com.docker.network.bridge.enable_icc",
		"com.docker.network.bridge.enable_ip_masquerade",
		"com.docker.network.bridge.host_binding_ipv4",
		"com.docker.network.bridge.default_bridge",
		"com.docker.network.bridge.gateway_mode_ipv4",
		"com.docker.network.bridge.inhibit_ipv4",
		"com.docker.network.bridge.container_iface_prefix",
		"com.docker.network.container_iface_prefix",
	} {
		_, errNetwork := policy.Parse(with(key, "true"))
		_, errEndpoint := policy.ParseEndpoint(map[string]string{key: "true"})
		for _, err := range []error{errNetwork, errEndpoint} {
			got := refusals(t, err)
			if len(got) != 1 || got[0].Key != key || !strings.HasPrefix(got[0].Reason, "belongs to Docker's bridge driver; ") {
				t.Errorf("%s: %v", key, got)
			}
		}
	}
}

func TestParseWithoutGateway(t *testing.T) {
	const required = "required: without a gateway and without mcpnet.allow servers reach nothing"
	for name, tt := range map[string]struct {
		options map[string]string
		want    []refusal
	}{
		"nil":   {nil, []refusal{{policy.KeyGateway, "", required, ""}}},
		"other": {map[string]string{policy.KeyLog: "all"}, []refusal{{policy.KeyGateway, "", required, ""}}},
		"misspelled: one problem, not two": {
			map[string]string{"gateway": "172.20.0.100:8080"},
			[]refusal{{"gateway", "172.20.0.100:8080", "unknown key", policy.KeyGateway}}},
		"wrong case": {
			map[string]string{"mcpnet.Gateway": "172.20.0.100:8080"},
			[]refusal{{"mcpnet.Gateway", "172.20.0.100:8080", "unknown key", policy.KeyGateway}}},
		"not one of nothing": {map[string]string{policy.KeyAllow: "off"}, []refusal{{policy.KeyGateway, "", required, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := policy.Parse(tt.options)
			if diff := cmp.Diff(tt.want, refusals(t, err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseNamesEveryProblem(t *testing.T) {
	options := map[string]string{
		policy.KeyGateway: "gw:0/sctp, 10.0.0.1:80,10.0.0.1",
		policy.KeyConnect: "tcp,udp/53",
		policy.KeyBridge:  "0/a-very-long-name",
		policy.KeyMTU:     "0",
		"mcpnet.lgo":      "all",
		"mcpnet.caps":     "NET_ADMN,none",
		"zzz":             "",
	}
	given := maps.Clone(options)
	_, err := policy.Parse(options)
	want := []refusal{
		{policy.KeyBridge, "0/a-very-long-name", "longer than 15 bytes", ""},
		{policy.KeyBridge, "0/a-very-long-name", "must begin with a letter", ""},
		{policy.KeyBridge, "0/a-very-long-name", "only the letters A to Z and a to z, digits and the characters _ . - are accepted", ""},
		{policy.KeyMTU, "0", "not a number of bytes from 576 to 65535", ""},
		{policy.KeyCaps, "NET_ADMN", "no capability of Linux", "NET_ADMIN"},
		{policy.KeyCaps, "none", "none stands alone, in lower case", ""},
		{policy.KeyGateway, "gw:0/sctp", "an address is needed, not a name", ""},
		{policy.KeyGateway, "gw:0/sctp", badPort, ""},
		{policy.KeyGateway, "gw:0/sctp", badProto, ""},
		{policy.KeyGateway, "10.0.0.1", "the port is missing", ""},
		{policy.KeyConnect, "tcp", "tcp means every TCP port and stands alone", ""},
		{policy.KeyConnect, "udp/53", "udp is not accepted: a gateway opens only TCP connections to servers", ""},
		{"mcpnet.lgo", "all", "unknown key", policy.KeyLog},
		{"zzz", "", "unknown key", ""},
	}
	if diff := cmp.Diff(want, refusals(t, err)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(given, options); diff != "" {
		t.Errorf("the caller's options changed: %s", diff)
	}
	for range 20 {
		if _, again := policy.Parse(options); again.Error() != err.Error() {
			t.Fatalf("not deterministic:\n%v\n%v", err, again)
		}
	}
}
