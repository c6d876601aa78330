package request_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/request"
)

// TestPodName: a runtime says in CNI_ARGS by which name its user knows the container. Podman says it twice.
func TestPodName(t *testing.T) {
	for want, args := range map[string]map[string]string{
		"":             {"IP": "172.20.0.100"},
		"server":       {"K8S_POD_NAME": "server", "K8S_POD_NAMESPACE": "server"},
		"default/tool": {"K8S_POD_NAME": "tool", "K8S_POD_NAMESPACE": "default"},
	} {
		if got := (request.CNIConfig{}).EndpointWords(args, "host-local").Name; got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
}
