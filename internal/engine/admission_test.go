package engine_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

var enforcing = map[string]string{"mcpnet.gateway": "172.20.0.100:8080", "mcpnet.caps.mode": "enforce"}

var (
	conforms = topology.Admission{State: topology.Conforms, By: "test"}
	violates = topology.Admission{State: topology.Violates, By: "test", Reason: "holds everything"}
)

// TestHeld: the wire of an endpoint that is not admitted passes nothing, either way; it answers ARP, so that the first
// retransmission goes through once it is. Off again, a connection that stood is cut.
func TestHeld(t *testing.T) {
	f := newFixture(t)
	f.network(enforcing)
	g := f.container("g", "172.20.0.100", topology.RoleGateway)
	a := f.container("a", "172.20.240.1", topology.RoleServer)
	hello(g, 8080)
	hello(a, 3000)

	f.silent(a, "172.20.0.100/8080")
	f.silent(g, "172.20.240.1/3000")
	if out := a.Run("ip", "neigh", "show", "172.20.0.100"); !strings.Contains(out, "REACHABLE") {
		t.Errorf("ARP is not answered: %s", out)
	}
	f.check(f.engine.Admit(t.Context(), networkID, "a", conforms))
	f.check(f.engine.Admit(t.Context(), networkID, "a", conforms))
	f.reaches(a, "172.20.0.100/8080", true)
	f.reaches(g, "172.20.240.1/3000", true)
	f.reaches(a, "172.20.0.100/9090", false)
	f.settled()

	f.check(f.engine.Admit(t.Context(), networkID, "a", violates))
	f.reaches(a, "172.20.0.100/8080", false) // at once (P11)
	f.reaches(g, "172.20.240.1/3000", false)
	f.settled()
	if p := f.status("a"); !p.Quarantined || p.Admission != violates {
		t.Errorf("status: %+v", p)
	}
	f.check(f.engine.Admit(t.Context(), networkID, "a", topology.Admission{}))
	f.silent(a, "172.20.0.100/8080")
	f.silent(g, "172.20.240.1/3000")
	f.settled()
	f.check(f.engine.Admit(t.Context(), networkID, "a", conforms))
	f.reaches(a, "172.20.0.100/8080", true)
}

// TestHeldOverRestart: who was admitted stays so, who was not does not slip in, also after the rules were lost.
func TestHeldOverRestart(t *testing.T) {
	f := newFixture(t)
	f.network(enforcing)
	g := f.container("g", "172.20.0.100", topology.RoleGateway)
	good, bad := f.container("good", "172.20.240.1", topology.RoleServer), f.container("bad", "172.20.240.2", topology.RoleServer)
	hello(g, 8080)
	hello(bad, 3000)
	f.check(f.engine.Admit(t.Context(), networkID, "good", conforms))
	f.check(f.engine.Admit(t.Context(), networkID, "bad", violates))
	for _, disturb := range []func(){
		func() { f.close(); f.open() },
		func() {
			f.world.Host.Run("nft", "flush", "ruleset")
			_, err := f.engine.Reconcile(t.Context())
			f.check(err)
		},
	} {
		disturb()
		f.reaches(good, "172.20.0.100/8080", true)
		f.reaches(bad, "172.20.0.100/8080", false)
		f.reaches(g, "172.20.240.2/3000", false)
		f.settled()
	}
}

// TestAuditHoldsNobody: it only reports.
func TestAuditHoldsNobody(t *testing.T) {
	f := newFixture(t)
	f.network(oneGateway)
	g, a := f.container("g", "172.20.0.100", topology.RoleGateway), f.container("a", "172.20.240.1", topology.RoleServer)
	hello(g, 8080)
	f.check(f.engine.Admit(t.Context(), networkID, "a", violates))
	f.check(f.engine.Admit(t.Context(), networkID, "g", violates)) // nobody asks about a gateway
	f.check(f.engine.Admit(t.Context(), networkID, "unknown", violates))
	f.reaches(a, "172.20.0.100/8080", true)
	if p := f.status("a"); p.Quarantined || p.Admission != violates {
		t.Errorf("status of a: %+v", p)
	}
	if p := f.status("g"); p.Quarantined || p.Admission != (topology.Admission{}) {
		t.Errorf("status of g: %+v", p)
	}
}

// TestHeldLeavesNothing: what a held endpoint has in the kernel goes with it.
func TestHeldLeavesNothing(t *testing.T) {
	f := newFixture(t)
	before := f.state()
	f.network(enforcing)
	f.container("held", "172.20.240.1", topology.RoleServer)
	f.container("let-in", "172.20.240.2", topology.RoleServer)
	f.container("put-out", "172.20.240.3", topology.RoleServer)
	f.check(f.engine.Admit(t.Context(), networkID, "let-in", conforms))
	f.check(f.engine.Admit(t.Context(), networkID, "put-out", conforms))
	f.check(f.engine.Admit(t.Context(), networkID, "put-out", violates))
	for _, id := range []string{"held", "let-in", "put-out"} {
		f.check(f.engine.DeleteEndpoint(t.Context(), networkID, id))
	}
	for set, kind := range map[string]string{"held": "set", "own": "set", "wire": "map", "server-mac": "map"} {
		if out := f.world.Host.Run("nft", "list", kind, "netdev", "mcpnet", "mcp-secure."+set); strings.Contains(out, "elements") {
			t.Errorf("left in %s: %s", set, out)
		}
	}
	f.check(f.engine.DeleteNetwork(t.Context(), networkID))
	f.same(before)
}

// TestEnforceNeedsResident: where nobody would ever look, an attachment is refused rather than held for ever.
func TestEnforceNeedsResident(t *testing.T) {
	f := newShared(t, testnet.NewWorld(t), topology.OwnerCNI)
	n := f.sharedNetwork(map[string]string{"mcpnet.caps.mode": "enforce"})
	if _, err := f.attach(n, "a", "172.21.240.1", topology.RoleServer); !errors.Is(err, engine.ErrNoResident) {
		t.Fatalf("got %v", err)
	}
	f.mustAttach(n, "g", "172.21.0.100", topology.RoleGateway) // a gateway is nobody to look at
	resident, err := f.open()
	f.check(err)
	defer resident.Close()
	leave, err := resident.Reside()
	f.check(err)
	if _, err := resident.Reside(); err == nil {
		t.Error("there can be two residents")
	}
	f.mustAttach(n, "b", "172.21.240.2", topology.RoleServer)
	examined, err := resident.Examined(t.Context())
	if err != nil || len(examined) != 1 || examined[0].Endpoint.NetNS == 0 {
		t.Errorf("examined %+v, %v", examined, err)
	}
	leave()
	if _, err := f.attach(n, "c", "172.21.240.3", topology.RoleServer); !errors.Is(err, engine.ErrNoResident) {
		t.Errorf("after it left: %v", err)
	}
}

// silent wants an attempt to be left without an answer: no connection, and no refusal either.
func (f *fixture) silent(from *testnet.NS, addr string) {
	f.t.Helper()
	out, err := from.Output("timeout", "0.6", "bash", "-c", "exec 3<>/dev/tcp/"+addr)
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 124 {
		f.t.Errorf("%s to %s: %v %s, want silence", from.Label(), addr, err, out)
	}
}

// status is an endpoint's part of the status.
func (f *fixture) status(id string) engine.EndpointStatus {
	f.t.Helper()
	s, err := f.engine.Status(f.t.Context())
	f.check(err)
	for _, p := range s.Networks[0].Endpoints {
		if p.ID == id {
			return p
		}
	}
	f.t.Fatalf("no endpoint %s in %+v", id, s)
	return engine.EndpointStatus{}
}
