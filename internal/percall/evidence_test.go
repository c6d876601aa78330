package percall_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestEvidenceInStatus: status says that nobody looks at containers, and what the one who looks cannot see.
func TestEvidenceInStatus(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(map[string]string{})
	f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway)
	front, err := f.open()
	f.Check(err)
	defer front.Close()
	says := func(want string) {
		t.Helper()
		s, err := front.Status(t.Context())
		f.Check(err)
		var found []string
		for _, finding := range s.Findings {
			if finding.Code == report.CodeEvidence || finding.Code == report.CodeUnwatched {
				found = append(found, finding.Meaning)
			}
		}
		if got := strings.Join(found, "; "); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("status says %q, want %q", got, want)
		}
	}
	says("") // a gateway is nobody to look at
	f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	says("nobody watches")
	leave, err := front.Reside()
	f.Check(err)
	says("")
	f.Check(front.Lacking(t.Context(), []report.Finding{{Code: report.CodeEvidence, Severity: report.Failure, Object: "host", Meaning: "cannot see"}}))
	says("cannot see")
	f.Check(front.Lacking(t.Context(), nil))
	says("")
	f.Check(front.Lacking(t.Context(), []report.Finding{{Code: report.CodeEvidence, Severity: report.Failure, Object: "host", Meaning: "cannot see"}}))
	leave()
	says("nobody watches") // who saw nothing is gone
}
