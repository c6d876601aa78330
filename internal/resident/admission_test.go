package resident_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var enforcing = map[string]string{"mcpnet.gateway": "172.20.0.100:8080", "mcpnet.caps.mode": "enforce"}

var (
	conforms = topology.Admission{State: topology.Conforms, By: "test"}
	violates = topology.Admission{State: topology.Violates, By: "test", Reason: "holds everything"}
	escapes  = topology.Admission{State: topology.Violates, By: "test", Reason: "is on another network", WayOut: true}
)

// TestHeld: the wire of an endpoint that is not admitted passes nothing, either way. The third ARP request is answered,
// so that the connection is not given up. Off again, a connection that stood is cut.
func TestHeld(t *testing.T) { testhost.OnBothKernels(t, testHeld) }

func testHeld(t *testing.T, f *testhost.Docker) {
	f.Network(enforcing)
	g := f.Container("g", "172.20.0.100", topology.RoleGateway)
	a := f.Container("a", "172.20.240.1", topology.RoleServer)
	testhost.Hello(g, 8080)
	testhost.Hello(a, 3000)

	testhost.Silent(t, a, "172.20.0.100/8080")
	testhost.Silent(t, g, "172.20.240.1/3000")
	neighbour := func() string { return a.Run("ip", "neigh", "show", "172.20.0.100") }
	if out := neighbour(); !strings.Contains(out, "INCOMPLETE") {
		t.Errorf("ARP is answered at once: %s", out)
	}
	testhost.Within(t, 5*time.Second, "ARP is answered before it is too late", func() bool {
		return strings.Contains(neighbour(), "REACHABLE")
	})
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

// TestAdmittedServerGoesOut: what a server said while it was held goes out when it is admitted, and is refused when it
// is quarantined, without a segment being sent again.
func TestAdmittedServerGoesOut(t *testing.T) { testhost.OnBothKernels(t, testAdmittedServerGoesOut) }

func testAdmittedServerGoesOut(t *testing.T, f *testhost.Docker) {
	n := f.Network(enforcing)
	testhost.Hello(f.Container("g", "172.20.0.100", topology.RoleGateway), 8080)
	then := func(a topology.Admission) func(int) testhost.Held {
		return func(attempt int) testhost.Held {
			id := fmt.Sprint(a.State, attempt)
			return testhost.Held{Gateway: "172.20.0.100/8080", MAC: topology.MACFor(n.ID, netip.MustParseAddr("172.20.0.100")).String(),
				Server: f.Container(id, fmt.Sprintf("172.20.%d.%d", 240+len(a.State), attempt+1), topology.RoleServer),
				Decide: func() { f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, id, a)) }}
		}
	}
	testhost.GoesOutAtOnce(t, then(conforms))
	testhost.RefusedAtOnce(t, then(violates))
	f.Settled()
}

// admitted compares what status says with what was recorded.
func admitted(e report.Endpoint, want topology.Admission) bool {
	return e.Admission == report.Admission{State: string(want.State), By: want.By, Reason: want.Reason, WayOut: want.WayOut}
}

// TestGuard: by default nobody waits for evidence, a way out is cut as soon as it is seen, and what is only too much is
// reported. That stays so over a restart.
func TestGuard(t *testing.T) { testhost.OnBothKernels(t, testGuard) }

func testGuard(t *testing.T, f *testhost.Docker) {
	f.Network(testhost.OneGateway)
	g, a := f.Container("g", "172.20.0.100", topology.RoleGateway), f.Container("a", "172.20.240.1", topology.RoleServer)
	testhost.Hello(g, 8080)
	testhost.Hello(a, 3000)
	wants := func(open bool, admission topology.Admission) {
		t.Helper()
		f.Reaches(a, "172.20.0.100/8080", open)
		f.Reaches(g, "172.20.240.1/3000", open)
		if p := f.Endpoint("a"); p.Quarantined == open || !admitted(p, admission) {
			t.Errorf("status: %+v", p)
		}
		f.Settled()
	}
	wants(true, topology.Admission{})
	for _, step := range []struct {
		admission topology.Admission
		open      bool
	}{{violates, true}, {escapes, false}, {violates, true}, {escapes, false}} {
		f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", step.admission))
		wants(step.open, step.admission)
	}
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "g", escapes)) // a gateway may be on other networks
	f.Close()
	f.Open()
	wants(false, escapes)
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", conforms))
	wants(true, conforms)
}

// TestGuardLater: a network whose mode becomes another, because the default did, gets what follows from it.
func TestGuardLater(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080", "mcpnet.caps.mode": "audit"})
	g, a := f.Container("g", "172.20.0.100", topology.RoleGateway), f.Container("a", "172.20.240.1", topology.RoleServer)
	testhost.Hello(g, 8080)
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", escapes))
	f.Reaches(a, "172.20.0.100/8080", true)
	networks, err := f.Front.Networks(t.Context())
	f.Check(err)
	networks[0].Policy.CapsMode = policy.CapsGuard
	f.Check(f.Front.Describe(t.Context(), networks[0]))
	f.Reaches(a, "172.20.0.100/8080", false)
	f.Settled()
	f.Close()
	f.Open()
	f.Reaches(a, "172.20.0.100/8080", false)
}

// TestLacking: evidence that cannot be had is told of, until it can.
func TestLacking(t *testing.T) {
	f := testhost.NewDocker(t)
	lacking := report.Finding{Code: report.CodeEvidence, Severity: report.Failure, Object: "host", Meaning: "nothing can be seen"}
	for _, findings := range [][]report.Finding{{lacking}, nil} {
		f.Check(f.Front.Lacking(t.Context(), findings))
		s, err := f.Front.Status(t.Context())
		f.Check(err)
		if slices.Contains(s.Findings, lacking) != (findings != nil) {
			t.Errorf("lacking %v: %+v", findings, s.Findings)
		}
	}
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
	f.Network(map[string]string{"mcpnet.gateway": "172.20.0.100:8080", "mcpnet.caps.mode": "audit"})
	g, a := f.Container("g", "172.20.0.100", topology.RoleGateway), f.Container("a", "172.20.240.1", topology.RoleServer)
	testhost.Hello(g, 8080)
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "a", escapes))
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "g", escapes)) // nobody asks about a gateway
	f.Check(f.Front.Admit(t.Context(), testhost.NetworkID, "unknown", violates))
	f.Reaches(a, "172.20.0.100/8080", true)
	if p := f.Endpoint("a"); p.Quarantined || !admitted(p, escapes) {
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
