package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/operator"
)

// TestStatusOfFirewalld: where firewalld runs, its zone of the uplink is shown, and a refusal is in the exit status.
func TestStatusOfFirewalld(t *testing.T) {
	runs := strings.NewReplacer(`"iptables":"nft"`, `"iptables":"nft","firewalld":true`).Replace(calm)
	joined := strings.Replace(runs, `"uplinkUp":true`, `"uplinkUp":true,"zone":"mcpnet"`, 1)
	refuses := strings.Replace(runs, `"findings":[`, `"findings":[{"code":"firewalld-refuses","severity":"failure",`+
		`"object":"network mcp-secure","meaning":"uplink mcp-secure is in no zone that forwards"},`, 1)
	for answer, want := range map[string]struct {
		code int
		says []string
	}{
		joined: {exitOK, []string{"in force; firewalld runs; iptables (nft)",
			"uplink mcp-secure in firewalld's zone mcpnet"}},
		refuses: {exitDrift, []string{"failure", "mcp-secure: uplink mcp-secure is in no zone that forwards"}},
	} {
		socket := plugin(t, http.StatusOK, map[string]string{operator.StatusPath: answer})
		code, out, complaints := mcpnet("status", "--socket", socket)
		if code != want.code || complaints != "" {
			t.Errorf("exit status %d, want %d; %s", code, want.code, complaints)
		}
		for _, says := range want.says {
			if !strings.Contains(out, says) {
				t.Errorf("does not say %q:\n%s", says, out)
			}
		}
	}
}
