package resident_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var enforcing = map[string]string{"mcpnet.gateway": "172.20.0.100:8080", "mcpnet.caps.mode": "enforce"}

var (
	conforms = topology.Admission{State: topology.Conforms, By: "test"}
	violates = topology.Admission{State: topology.Violates, By: "test", Reason: "holds everything"}
)

// TestHeld: the wire of an endpoint that is not admitted passes nothing, either way; it answers ARP, so that the first
// retransmission goes through once it is. Off again, a connection that stood is cut.
func TestHeld(t *testing.T) { testhost.OnBothKernels(t, testHeld) }

func testHeld(t *testing.T, f *testhost.Docker) {
	f.Network(enforcing)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	a := f.Container("a", "172.20.240.1", topology.RoleServer)
	testhost.Hello(g, 8080)
	testhost.Hello(a, 3000)

	testhost.Silent(t, a, "172.20.0.100/8080")
	testhost.Silent(t, g, "172.20.240.1/3000")
	if out := a.Run("ip", "neigh", "show", "172.20.0.100"); !strings.Contains(out, "REACHABLE") {
		t.Errorf("ARP is not answered: %s", out)
	}
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", conforms))
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", conforms))
	f.Reaches(a, "172.20.0.100/8080", true)
	f.Reaches(g, "172.20.240.1/3000", true)
	f.Reaches(a, "172.20.0.100/9090", false)
	f.Settled()

	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", violates))
	f.Reaches(a, "172.20.0.100/8080", false) // at once (P11)
	f.Reaches(g, "172.20.240.1/3000", false)
	f.Settled()
	if p := f.Endpoint("a"); !p.Quarantined || !admitted(p, violates) {
		t.Errorf("status: %+v", p)
	}
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", topology.Admission{}))
	testhost.Silent(t, a, "172.20.0.100/8080")
	testhost.Silent(t, g, "172.20.240.1/3000")
	f.Settled()
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", conforms))
	f.Reaches(a, "172.20.0.100/8080", true)
}

// admitted compares what status says with what was recorded.
func admitted(e report.Endpoint, want topology.Admission) bool {
	return e.Admission == report.Admission{State: string(want.State), By: want.By, Reason: want.Reason}
}

// TestHeldOverRestart: who was admitted stays so, who was not does not slip in, also after the rules were lost.
func TestHeldOverRestart(t *testing.T) { testhost.OnBothKernels(t, testHeldOverRestart) }

func testHeldOverRestart(t *testing.T, f *testhost.Docker) {
	f.Network(enforcing)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	good, bad := f.Container("good", "172.20.240.1", topology.RoleServer), f.Container("bad", "172.20.240.2",
		topology.RoleServer)
	testhost.Hello(g, 8080)
	testhost.Hello(bad, 3000)
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "good", conforms))
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "bad", violates))
	for _, disturb := range []func(){
		func() { f.Close(); f.Open() },
		func() {
			f.Space().Run("nft", "flush", "ruleset")
			_, err := f.Front.Reconcile(t.Context())
			f.Check(err)
		},
		func() { f.World.Host.Run("nft", "flush", "ruleset") },
	} {
		disturb()
		f.Reaches(good, "172.20.0.100/8080", true)
		f.Reaches(bad, "172.20.0.100/8080", false)
		f.Reaches(g, "172.20.240.2/3000", false)
		_, err := f.Front.Reconcile(t.Context())
		f.Check(err)
		f.Settled()
	}
}

// TestAuditHoldsNobody: it only reports.
func TestAuditHoldsNobody(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	g, a := f.Container("g", "172.20.0.100", topology.RoleGateway), f.Container("a", "172.20.240.1", topology.RoleServer)
	testhost.Hello(g, 8080)
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", violates))
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "g", violates)) // nobody asks about a gateway
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "unknown", violates))
	f.Reaches(a, "172.20.0.100/8080", true)
	if p := f.Endpoint("a"); p.Quarantined || !admitted(p, violates) {
		t.Errorf("status of a: %+v", p)
	}
	if p := f.Endpoint("g"); p.Quarantined || !admitted(p, topology.Admission{}) {
		t.Errorf("status of g: %+v", p)
	}
}

// TestHeldLeavesNothing: what a held endpoint has in the kernel goes with it.
func TestHeldLeavesNothing(t *testing.T) { testhost.OnBothKernels(t, testHeldLeavesNothing) }

func testHeldLeavesNothing(t *testing.T, f *testhost.Docker) {
	before := f.State()
	f.Network(enforcing)
	made := f.State()
	f.Container("held", "172.20.240.1", topology.RoleServer)
	f.Container("let-in", "172.20.240.2", topology.RoleServer)
	f.Container("put-out", "172.20.240.3", topology.RoleServer)
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "let-in", conforms))
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "put-out", conforms))
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "put-out", violates))
	for _, id := range []string{"held", "let-in", "put-out"} {
		f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, id))
	}
	f.Same(made)
	f.Check(f.Front.DeleteNetwork(t.Context(), testhost.NetworkID))
	f.Same(before)
}
