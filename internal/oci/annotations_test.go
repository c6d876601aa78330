package oci_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// TestAnnotations: annotations by which crun takes something else than what the bundle says are refused by name.
func TestAnnotations(t *testing.T) {
	for name, refused := range map[string]bool{
		"run.oci.seccomp_bpf_data": true, "run.oci.seccomp.receiver": true, "run.oci.seccomp.plugins": true, "run.oci.handler": true,
		"run.oci.keep_original_groups": false, "io.kubernetes.cri.container-type": false, "mine": false,
	} {
		text := strings.Replace(bundle, `"mine":"stays"`, fmt.Sprintf(`%q:"x"`, name), 1)
		err := parse(t, text).Harden(policy.DefaultCaps)
		if refused != (err != nil) || refused && !strings.Contains(err.Error(), "annotation "+name+" sets") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
