package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
)

func TestParseEndpointAccepts(t *testing.T) {
	for name, tt := range map[string]struct {
		options map[string]string
		want    policy.Role
	}{
		"nothing": {nil, policy.RoleUnset},
		"server":  {map[string]string{policy.KeyRole: "server"}, policy.RoleServer},
		"gateway": {map[string]string{policy.KeyRole: "gateway"}, policy.RoleGateway},
		"engine's keys": {map[string]string{
			"com.docker.network.endpoint.exposedports": "[]",
			"com.docker.network.endpoint.macaddress":   "",
			"com.docker.network.portmap":               "[]",
		}, policy.RoleUnset},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := policy.ParseEndpoint(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(policy.Endpoint{Role: tt.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	const onNetwork = "set it on the network; an endpoint can only narrow its policy"
	tests := []struct{ key, value, reason, nearest string }{
		{policy.KeyRole, "Gateway", badCase, "gateway"},
		{policy.KeyRole, "sever", badWord, "server"},
		{policy.KeyRole, "client", badWord, ""},
		{"role", "server", "unknown key", policy.KeyRole},
		{"mcpnet.Role", "server", "unknown key", policy.KeyRole},
		{"mcpnet.rolle", "server", "unknown key", policy.KeyRole},
		{"mcpnet.limit.rate", "5/min", later, ""},
		{"mcpnet.limit.conns", "5", later, ""},
		{"mcpnet.limit.hits", "5/60s", later, ""},
		{policy.KeyGateway, "172.20.0.100:8080", onNetwork, ""},
		{policy.KeyMTU, "1500", onNetwork, ""},
		{"mcpnet.redirect", "off", onNetwork, ""},
		{"mcpnet.gatway", "v", "unknown key; it resembles mcpnet.gateway, which is set on the network", ""},
		{"mcpnet.limit.con", "5", "unknown key; it resembles mcpnet.limit.conns, which is " + later, ""},
		{"com.docker.network.foo", "v", "unknown key", ""},
		{"com.docker.network.endpoint", "v", "unknown key", ""},
		{"anything", "v", "unknown key", ""},
	}
	for _, tt := range tests {
		got, err := policy.ParseEndpoint(map[string]string{tt.key: tt.value})
		if diff := cmp.Diff([]refusal{{tt.key, tt.value, tt.reason, tt.nearest}}, refusals(t, err)); diff != "" {
			t.Errorf("%s: %s", tt.key, diff)
		}
		if !cmp.Equal(got, policy.Endpoint{}) {
			t.Errorf("%s: %v came with the error", tt.key, got)
		}
	}
}

func TestParseEndpointNamesEveryProblem(t *testing.T) {
	got, err := policy.ParseEndpoint(map[string]string{policy.KeyRole: "gateway", policy.KeyLog: "all", "x": "y"})
	want := []refusal{
		{policy.KeyLog, "all", "set it on the network; an endpoint can only narrow its policy", ""},
		{"x", "y", "unknown key", ""},
	}
	if diff := cmp.Diff(want, refusals(t, err)); diff != "" {
		t.Error(diff)
	}
	if !cmp.Equal(got, policy.Endpoint{}) {
		t.Errorf("%v came with the error", got)
	}
}
