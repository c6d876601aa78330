package ns_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestRemoveBeneath: iproute2 mounts the directory on itself when it first makes a namespace; of a pin that was there
// before, nothing is left when it is removed.
func TestRemoveBeneath(t *testing.T) {
	for _, c := range []struct {
		what  string
		apart bool
	}{{"up to iproute2 6.1", false}, {"later versions", true}} {
		t.Run(c.what, func(t *testing.T) {
			dir := testnet.NewPins(t)
			p := ns.HostPins(dir)
			check(t, p.Create("a", nothing))
			check(t, unix.Mount(dir, dir, "none", unix.MS_BIND|unix.MS_REC, ""))
			t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
			if c.apart {
				check(t, unix.Mount("", dir, "none", unix.MS_PRIVATE|unix.MS_REC, ""))
			}
			check(t, unix.Mount("", dir, "none", unix.MS_SHARED|unix.MS_REC, ""))
			check(t, p.Remove("a", nil))
			if left := names(t, p); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if _, err := p.Open("a"); !errors.Is(err, ns.ErrNoPin) {
				t.Errorf("the pin: %v", err)
			}
			check(t, p.Create("a", nothing))
			check(t, p.Remove("a", nil))
		})
	}
}
