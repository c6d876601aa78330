package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// checkError fails the test unless err is a problem.List that a person can read.
func checkError(t *testing.T, err error) {
	t.Helper()
	var problems problem.List
	if !errors.As(err, &problems) || len(problems) == 0 {
		t.Fatalf("%v (%T) is not a problem.List", err, err)
	}
	if !slices.IsSortedFunc(problems, func(a, b problem.Problem) int { return strings.Compare(a.Key, b.Key) }) {
		t.Errorf("not sorted: %v", problems)
	}
	for _, p := range problems {
		if p.Reason == "" || strings.ContainsAny(p.String(), "\n\r\x1b") {
			t.Errorf("not a readable line: %q", p)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("172.20.0.100:8080", "tcp", "tcp/443,tcp/80,dns", "off", "mcp-secure", "1500", policy.KeyLog, "all")
	f.Add("10.0.0.1:1/udp, 10.0.0.1:1", "tcp/3000,tcp/3001", "udp/123", "gateway", "b", "576", policy.KeyMode, "audit")
	f.Add("[fd00::1]:80,host:80,gw:80", "3000/tcp", "off,DNS", "9.9.9.9", "mcpw0", "x", "mcpnet.gatway", "v")
	f.Add("", "off", "off", "filter", "", "", "mcpnet.redirect", "off")
	f.Fuzz(func(t *testing.T, gateway, connect, egress, dns, bridge, mtu, key, value string) {
		options := map[string]string{key: value}
		for k, v := range map[string]string{
			policy.KeyGateway: gateway, policy.KeyConnect: connect, policy.KeyEgress: egress,
			policy.KeyDNS: dns, policy.KeyBridge: bridge, policy.KeyMTU: mtu,
		} {
			if v != "" {
				options[k] = v
			}
		}
		p, err := policy.Parse(options)
		if err != nil {
			checkError(t, err)
			return
		}
		if len(p.Gateways) == 0 {
			t.Error("a policy without a gateway")
		}
		checkRoundTrips(t, p)
	})
}

func FuzzParseEndpoint(f *testing.F) {
	f.Add(policy.KeyRole, "gateway", "com.docker.network.endpoint.x", "y")
	f.Add("role", "server", policy.KeyLog, "all")
	f.Fuzz(func(t *testing.T, key, value, key2, value2 string) {
		e, err := policy.ParseEndpoint(map[string]string{key: value, key2: value2})
		if err != nil {
			checkError(t, err)
			if e != (policy.Endpoint{}) {
				t.Errorf("%v came with the error", e)
			}
			return
		}
		again, err := policy.ParseEndpoint(map[string]string{policy.KeyRole: string(e.Role)})
		if e.Role != policy.RoleUnset && (err != nil || again != e) {
			t.Errorf("%v again: %v, %v", e, again, err)
		}
	})
}
