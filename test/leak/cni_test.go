package leak

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestLeaksCNI: the same vectors against networks that the CNI plugin made, in main and in chained mode. TestLeaks
// has the control.
func TestLeaksCNI(t *testing.T) {
	for name, fabric := range map[string]func(testnet.T, map[string]string) func(*testnet.World) Fabric{"main": NewCNI, "chained": NewChainedCNI} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seat, _ := NewSeat(t, "cni "+name, fabric(t, nil))
			report := Run(t, seat)
			checkHolds(t, report)
			checkDocumented(t, "everything in force", report)
		})
	}
}
