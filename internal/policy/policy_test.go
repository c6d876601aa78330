package policy_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// exact compares addresses as values.
var exact = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func gateway(addr string, proto policy.Protocol, port uint16) policy.Gateway {
	return policy.Gateway{Addr: netip.MustParseAddr(addr), Port: policy.Port{Protocol: proto, Number: port}}
}

func tcp(n uint16) policy.Port { return policy.Port{Protocol: policy.TCP, Number: n} }
func udp(n uint16) policy.Port { return policy.Port{Protocol: policy.UDP, Number: n} }

func TestDefaults(t *testing.T) {
	want := policy.Policy{
		Connect:  policy.Connect{Any: true},
		Egress:   policy.Egress{Ports: []policy.Port{tcp(443), tcp(80)}, DNS: true},
		DNS:      policy.DNSOff,
		Log:      policy.LogDenied,
		Mode:     policy.ModeEnforce,
		Caps:     policy.DefaultCaps,
		CapsMode: policy.CapsGuard,
		Firewall: policy.FirewallAuto,
		MTU:      1500,
	}
	if diff := cmp.Diff(want, policy.Defaults(), exact); diff != "" {
		t.Error(diff)
	}
	first := policy.Defaults()
	first.Egress.Ports[0] = udp(1)
	if diff := cmp.Diff(want, policy.Defaults(), exact); diff != "" {
		t.Errorf("a caller changed the defaults: %s", diff)
	}
}

func TestGatewayAddrs(t *testing.T) {
	p := policy.Policy{Gateways: []policy.Gateway{
		gateway("172.20.0.100", policy.TCP, 8080),
		gateway("172.20.0.7", policy.TCP, 8080),
		gateway("172.20.0.100", policy.UDP, 8080),
	}}
	want := []netip.Addr{netip.MustParseAddr("172.20.0.100"), netip.MustParseAddr("172.20.0.7")}
	if diff := cmp.Diff(want, p.GatewayAddrs(), exact); diff != "" {
		t.Error(diff)
	}
	for addr, want := range map[string]bool{"172.20.0.100": true, "172.20.0.7": true, "172.20.0.8": false, "::": false} {
		if got := p.IsGateway(netip.MustParseAddr(addr)); got != want {
			t.Errorf("IsGateway(%s) = %v, want %v", addr, got, want)
		}
	}
	if got := policy.Defaults().GatewayAddrs(); got != nil {
		t.Errorf("without gateways: %v, want nil", got)
	}
}

func TestStrings(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{tcp(443).String(), "tcp/443"},
		{gateway("172.20.0.100", policy.TCP, 8080).String(), "172.20.0.100:8080/tcp"},
		{policy.Connect{}.String(), "off"},
		{policy.Connect{Any: true}.String(), "tcp"},
		{policy.Connect{Ports: []policy.Port{tcp(1), tcp(2)}}.String(), "tcp/1,tcp/2"},
		{policy.Egress{}.String(), "off"},
		{policy.Egress{DNS: true}.String(), "dns"},
		{policy.Egress{Ports: []policy.Port{tcp(1), udp(2)}}.String(), "tcp/1,udp/2"},
		{policy.Egress{Ports: []policy.Port{tcp(1)}, DNS: true}.String(), "tcp/1,dns"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestOff(t *testing.T) {
	if !(policy.Connect{}).Off() || (policy.Connect{Any: true}).Off() || (policy.Connect{Ports: []policy.Port{tcp(1)}}).Off() {
		t.Error("Connect.Off")
	}
	if !(policy.Egress{}).Off() || (policy.Egress{DNS: true}).Off() || (policy.Egress{Ports: []policy.Port{tcp(1)}}).Off() {
		t.Error("Egress.Off")
	}
}

// checkRoundTrips fails the test unless p survives its option form and JSON.
func checkRoundTrips(t *testing.T, p policy.Policy) {
	t.Helper()
	again, err := policy.Parse(p.Options())
	if err != nil {
		t.Fatalf("Parse(Options()): %v", err)
	}
	if diff := cmp.Diff(p, again, exact); diff != "" {
		t.Errorf("Parse(Options()): %s", diff)
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var read policy.Policy
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, read, exact); diff != "" {
		t.Errorf("JSON: %s", diff)
	}
}

func TestJSON(t *testing.T) {
	p := policy.Defaults()
	p.Gateways = []policy.Gateway{gateway("172.20.0.100", policy.TCP, 8080)}
	p.Bridge = "mcp-secure"
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"gateways":[{"addr":"172.20.0.100","port":{"protocol":"tcp","number":8080}}],` +
		`"connect":{"any":true},` +
		`"egress":{"ports":[{"protocol":"tcp","number":443},{"protocol":"tcp","number":80}],"dns":true},` +
		`"dns":"off","log":"denied","mode":"enforce","caps":"NET_BIND_SERVICE","capsMode":"guard","firewall":"auto","bridge":"mcp-secure","mtu":1500}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
}
