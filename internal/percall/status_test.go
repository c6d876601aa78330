package percall_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// status is what the operator's command shows.
func (f *sharedFixture) status() report.Status {
	f.T.Helper()
	r, err := percall.OpenReader(f.T.Context(), percall.Config{StoreDir: f.Dir, NetNS: f.World.Host.Path(),
		Pins: ns.HostPins(f.World.Pins), Owner: f.owner, Features: f.Features})
	f.Check(err)
	defer r.Close()
	s, err := r.Status(f.T.Context())
	f.Check(err)
	if !slices.IsSortedFunc(s.Findings, report.Compare) {
		f.T.Errorf("findings in no order: %+v", s.Findings)
	}
	return s
}

func codes(s report.Status) (out []string) {
	for _, f := range s.Findings {
		out = append(out, string(f.Severity)+" "+string(f.Code))
	}
	return out
}

// TestStatusFindings: nobody watches where no service runs, and a server without a gateway reaches nothing. With both,
// there is nothing to say.
func TestStatusFindings(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	service, err := f.open()
	f.Check(err)
	defer service.Close()
	_, err = f.attach(n, "a", "172.21.240.1", topology.RoleServer)
	f.Check(err)
	if got := codes(f.status()); !slices.Contains(got, "failure nobody-watches") || !slices.Contains(got, "failure no-gateway") {
		t.Errorf("%v", got)
	}
	for _, finding := range f.status().Findings {
		if finding.Code == report.CodeNoGateway && !strings.Contains(finding.Remedy, "ips 172.21.0.100") {
			t.Errorf("in whose words: %+v", finding)
		}
	}
	leave, err := service.Reside()
	f.Check(err)
	defer leave()
	_, err = f.attach(n, "g", "172.21.0.100", topology.RoleGateway)
	f.Check(err)
	if got := codes(f.status()); slices.Contains(got, "failure nobody-watches") || slices.Contains(got, "failure no-gateway") {
		t.Errorf("with a service and a gateway: %v", got)
	}
}

// TestStatusNotInForce: what is missing is a finding, and the plan says of which network it is.
func TestStatusNotInForce(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(nil)
	f.mustAttach(n, "a", "172.21.240.1", topology.RoleServer)
	if got := codes(f.status()); slices.Contains(got, "warning not-in-force") {
		t.Errorf("in force, and yet: %v", got)
	}
	f.space().Run("nft", "flush", "ruleset")
	if got := codes(f.status()); !slices.Contains(got, "warning not-in-force") {
		t.Errorf("after a flush: %v", got)
	}
	f.Check(f.call(func(e *percall.Front) error {
		steps, err := e.Plan(t.Context())
		if len(steps) == 0 {
			t.Error("after a flush nothing is to be done")
		}
		for _, s := range steps {
			if s.Network != n.Name || s.Namespace != "namespace mcp-secure" {
				t.Errorf("%+v", s)
			}
		}
		return err
	}))
}

// TestReaderWithoutStore: a store that cannot be read is an error.
func TestReaderWithoutStore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := percall.OpenReader(t.Context(), percall.Config{StoreDir: file, Owner: topology.OwnerCNI}); err == nil {
		t.Errorf("a file is a store: %v", r.Close())
	}
}
