package leak

import (
	"context"
	"testing"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestHeld attacks from a server that the policy's capabilities are enforced
// on: admitted it reaches its gateway and nothing else, like any other; while
// it is held or quarantined it reaches nothing at all.
func TestHeld(t *testing.T) {
	t.Parallel()
	admitted := topology.Admission{State: topology.Conforms, By: "test"}
	for name, then := range map[string]topology.Admission{
		"admitted":    admitted,
		"held again":  {},
		"quarantined": {State: topology.Violates, By: "test", Reason: "holds everything"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seat, fabric := NewSeat(t, name, NewMcpnet(t, map[string]string{"mcpnet.caps.mode": "enforce"}))
			m := fabric.(*Mcpnet)
			admit := func(a topology.Admission) {
				for _, server := range []Member{seat.Attacker, seat.Neighbour} {
					m.must(m.Engine.Admit(context.Background(), networkID, endpointID(server.IP), a), "admit")
				}
			}
			admit(admitted)
			seat.Disturb = func() { admit(then) }
			report := Run(t, seat)
			if then == admitted {
				checkHolds(t, report)
				return
			}
			if !report.Before || report.Reaches || report.ReachesAfter {
				t.Errorf("gateway reached while admitted %v, then %v, after the attack %v; want true, false, false",
					report.Before, report.Reaches, report.ReachesAfter)
			}
			for _, f := range report.Leaks() {
				t.Errorf("open: %s: %s: %s", f.ID, f.About, f.summary())
			}
		})
	}
}
