package resident_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// another is a front over another store on the same host.
func another(f *testhost.Docker, dir string, owner topology.Owner) *resident.Front {
	f.T.Helper()
	config := f.Config()
	config.StoreDir, config.Owner = dir, owner
	other, err := resident.Open(f.T.Context(), config)
	f.Check(err)
	f.T.Cleanup(func() { other.Close() })
	f.Check(other.Start(f.T.Context()))
	return other
}

// TestTwoOwners: two surfaces on one host share tables and nothing else.
func TestTwoOwners(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	testhost.Hello(g, 8080)
	testhost.Hello(a, 3000)
	works := func(when string) {
		t.Helper()
		f.Reaches(a, "172.20.0.100/8080", true)
		f.Reaches(a, "172.20.0.100/9090", false)
		f.Reaches(g, "172.20.240.1/3000", true)
		if t.Failed() {
			t.Fatalf("broken %s", when)
		}
	}
	before := f.State()
	dir := t.TempDir()
	open := func() *resident.Front { return another(f, dir, topology.OwnerCNI) }
	other := open()
	f.Check(other.Collect(t.Context()))
	f.Same(before)
	works("by the other's start")

	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.30.0.100:8080", policy.KeyEgress: "off"})
	f.Check(err)
	n := topology.Network{ID: "theirs", Subnet: netip.MustParsePrefix("172.30.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.30.0.1"), Policy: p}
	f.Check(other.CreateNetwork(t.Context(), n))
	_, err = other.CreateEndpoint(t.Context(), topology.Endpoint{ID: "a", NetworkID: "theirs",
		IP: netip.MustParseAddr("172.30.240.1"), Role: topology.RoleServer})
	f.Check(err)
	works("by the other's network")
	f.Check(f.Front.Collect(t.Context()))
	f.Settled()
	f.Check(other.Close())
	other = open()
	defer other.Close()
	if steps, err := other.Plan(t.Context()); err != nil || len(steps) > 0 {
		t.Errorf("the other has left to do: %v %v", steps, err)
	}
	f.Check(other.DeleteEndpoint(t.Context(), "theirs", "a"))
	f.Check(other.DeleteNetwork(t.Context(), "theirs"))
	f.Same(before)
	f.Settled()
	works("by the other's end")

	// And the other way round: the last network goes, the other's stays.
	f.Check(other.CreateNetwork(t.Context(), n))
	f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
	if steps, err := other.Plan(t.Context()); err != nil || len(steps) > 0 {
		t.Errorf("the other has left to do: %v %v", steps, err)
	}
}

// TestOtherOwnersBridge: a bridge of another owner is not taken, by default or by name.
func TestOtherOwnersBridge(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	other := another(f, t.TempDir(), topology.OwnerNetavark)
	defer other.Close()
	f.Check(other.CreateNetwork(t.Context(), secondNetwork(t, "172.30.0.0/16", "")))
	networks, err := other.Networks(t.Context())
	f.Check(err)
	if got, want := networks[0].Bridge, topology.BridgeName("second"); got != want {
		t.Errorf("bridge %s, want %s", got, want)
	}
	third := secondNetwork(t, "172.31.0.0/16", "mcp-secure")
	third.ID = "third"
	if err := other.CreateNetwork(t.Context(), third); err == nil || !strings.Contains(err.Error(),
		"another network that mcpnet made (docker") {
		t.Errorf("got %v", err)
	}
}

// TestTwoStores: two stores of one surface on one host, such as those of two engines. Neither collects what is the
// other's: its
// namespaces, uplinks and wires, also where its documents are gone.
func TestTwoStores(t *testing.T) {
	for _, egress := range []string{"dns,tcp/443", "off"} {
		t.Run(egress, func(t *testing.T) {
			testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) { twoStores(t, f, egress) })
		})
	}
}

func twoStores(t *testing.T, f *testhost.Docker, egress string) {
	f.Network(map[string]string{policy.KeyGateway: "172.20.0.100:8080", policy.KeyEgress: egress})
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080)
	before := f.State()
	dir := t.TempDir()
	other := another(f, dir, topology.OwnerDocker)
	f.Check(other.Collect(t.Context()))
	f.Same(before)

	n := secondNetwork(t, "172.30.0.0/16", "")
	f.Check(other.CreateNetwork(t.Context(), n))
	_, err := other.CreateEndpoint(t.Context(), topology.Endpoint{ID: "b", NetworkID: n.ID,
		IP: netip.MustParseAddr("172.30.240.1"), Role: topology.RoleServer})
	f.Check(err)
	both := f.State()
	f.Check(f.Front.Collect(t.Context()))
	f.Check(other.Collect(t.Context()))
	f.Settled()
	f.Same(both)

	// The other one loses its documents, and then collects what is its own, and nothing else.
	f.Check(other.Close())
	f.Check(os.RemoveAll(dir + "/v2"))
	other = another(f, dir, topology.OwnerDocker)
	f.Check(f.Front.Collect(t.Context()))
	f.Same(both)
	f.Check(other.Collect(t.Context()))
	becomes(f, before) // the kernel takes the links of a namespace away in its own time
	f.Settled()
	f.Reaches(a, "172.20.0.100/8080", true)
}
