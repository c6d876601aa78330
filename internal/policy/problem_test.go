package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// TestMessages holds the texts that users see.
func TestMessages(t *testing.T) {
	_, one := policy.Parse(map[string]string{"gateway": "172.20.0.100:8080"})
	_, many := policy.Parse(map[string]string{
		"com.docker.network.bridge.enable_icc": "false",
		"mcpnet.dns":                           "filter",
		"mcpnet.foo":                           "",
		"mcpnet.gateway.connect":               "3000/tcp",
		"mcpnet.log":                           "",
		"mcpnet.redirect":                      "80",
		"mcpnet.caps":                          "all",
	})
	_, endpoint := policy.ParseEndpoint(map[string]string{"mcpnet.mode": "audit"})
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{one, []string{`gateway="172.20.0.100:8080": unknown key; did you mean mcpnet.gateway?`}},
		{many, []string{
			`8 problems:`,
			`1. com.docker.network.bridge.enable_icc="false": belongs to Docker's bridge driver; servers on a mcpnet network never reach each other`,
			`2. mcpnet.caps="all": there is no word for all: name those that the servers need; accepted: none, or capability names, comma-separated`,
			`3. mcpnet.dns="filter": the filter answers names of mcpnet.allow, and that has none; accepted: off, gateway, or names in mcpnet.allow`,
			`4. mcpnet.foo: unknown key; accepted: mcpnet.gateway, mcpnet.gateway.connect, mcpnet.gateway.egress, mcpnet.gateway.egress.to, mcpnet.allow, mcpnet.dns, mcpnet.log, mcpnet.mode, mcpnet.caps, mcpnet.caps.mode, mcpnet.firewall, com.docker.network.bridge.name, com.docker.network.driver.mtu`,
			`5. mcpnet.gateway: required: without a gateway and without mcpnet.allow servers reach nothing; accepted: ip:port[/tcp|udp], comma-separated, for example mcpnet.gateway=172.20.0.100:8080`,
			`6. mcpnet.gateway.connect="3000/tcp": not of the form tcp/PORT or udp/PORT; accepted: off, tcp, or a list of tcp/PORT, comma-separated; did you mean tcp/3000?`,
			`7. mcpnet.log: the value is empty; accepted: off, denied, all`,
			`8. mcpnet.redirect="80": known, not supported in this version; accepted: off`,
		}},
		{endpoint, []string{`mcpnet.mode="audit": set it on the network; an endpoint can only narrow its policy`}},
	} {
		if diff := cmp.Diff(tt.want, strings.Split(tt.err.Error(), "\n")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestProblemsCanBeFoundInAnError(t *testing.T) {
	_, err := policy.Parse(nil)
	var problems problem.List
	if !errors.As(fmt.Errorf("network 3f2a: %w", err), &problems) || len(problems) != 1 {
		t.Errorf("got %v", problems)
	}
}
