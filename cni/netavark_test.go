package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestCreateNetavark: Podman writes down what comes back, so an open range is completed and unknown fields stay.
func TestCreateNetavark(t *testing.T) {
	const network = `{"name":"n","later":{"a":1},"options":{"mcpnet.gateway":"203.0.113.9:80"},
		"subnets":[{"subnet":"203.0.113.0/24","lease_range":{"start_ip":"203.0.113.100"}}]}`
	answer, err := createNetavark(strings.NewReader(network))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"dns_enabled":false,"ipam_options":{"driver":"host-local"},"later":{"a":1},"name":"n",` +
		`"options":{"mcpnet.gateway":"203.0.113.9:80"},"subnets":[{"subnet":"203.0.113.0/24","gateway":"203.0.113.1",` +
		`"lease_range":{"start_ip":"203.0.113.100","end_ip":"203.0.113.254"}}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for in, says := range map[string]string{
		"":                           "standard input",
		"[]":                         "standard input",
		`{"subnets":[{"subnet":7}]}`: "standard input",
		strings.Replace(network, "113.100", "113.5",
			1): "Podman would give the gateway's address 203.0.113.9 to any container",
	} {
		if _, err := createNetavark(strings.NewReader(in)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", in, err)
		}
	}
}
