package leak

import (
	"os"
	"sync"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestMain lets many tests run at a time, and has the plugin that some need built once.
func TestMain(m *testing.M) {
	testnet.AtATime(8)
	os.Exit(testengine.BuildOnce(m.Run))
}

// TestLeaks runs every vector on an ordinary bridge, where each has to leak,
// and on mcpnet, where none may.
func TestLeaks(t *testing.T) {
	t.Parallel()
	var control, report Report
	var both sync.WaitGroup
	both.Go(func() {
		seat, _ := NewSeat(t, "plain bridge", PlainBridge(t))
		control = Run(t, seat)
	})
	both.Go(func() {
		seat, _ := NewSeat(t, "mcpnet", NewMcpnet(t, nil))
		report = Run(t, seat)
	})
	both.Wait()
	t.Logf("control %.1f s, mcpnet %.1f s\n%s", control.Took.Seconds(), report.Took.Seconds(), Table(control, report))
	checkControl(t, control)
	checkHolds(t, report)
	checkDocumented(t, "everything in force", report)
}

// TestVectors holds the table to its form.
func TestVectors(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Vectors() {
		if seen[v.ID] {
			t.Errorf("%s: twice", v.ID)
		}
		seen[v.ID] = true
		if v.About == "" || v.Aim == "" || v.Attack == nil {
			t.Errorf("%s: incomplete", v.ID)
		}
		if !v.Attack.counts(v.Aim) {
			t.Errorf("%s: aims at %s, which does not count as a leak", v.ID, v.Aim)
		}
	}
}

// checkControl fails for vectors that prove nothing.
func checkControl(t *testing.T, r Report) {
	t.Helper()
	if !r.Reaches || !r.ReachesAfter {
		t.Error("control: the gateway cannot be reached")
	}
	for _, f := range r.Void() {
		t.Errorf("void: %s (%s) aims at %s, seen: %s", f.ID, f.About, f.Aim, f.summary())
	}
	for _, a := range r.Answers {
		if a.OK && a.ID != "P11/off-network-v6" { // an ordinary network has no route there either
			t.Errorf("void: on an ordinary bridge, too, the %s", a)
		}
	}
}

// checkHolds fails for leaks, for slow answers and for a gateway out of reach.
func checkHolds(t *testing.T, r Report) {
	t.Helper()
	for _, broken := range r.Broken() {
		t.Errorf("%s: %s", r.Seat, broken)
	}
}
