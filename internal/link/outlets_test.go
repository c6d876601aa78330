package link_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/link"
)

// TestOutlets: what leads out of a container is known by the other ends, in whatever namespace they are.
func TestOutlets(t *testing.T) {
	host, first, second, c := open(t, "host"), open(t, "first"), open(t, "second"), open(t, "container")
	outlets(t, c, link.Outlets{})
	for i, s := range []space{first, second} {
		w := wire()
		w.Name, w.Peer, w.Mark = fmt.Sprintf("mcpw%011d", i), fmt.Sprintf("eth%d",
			i), mark(fmt.Sprintf("endpoint-%d", i))
		// Links ahead of the wire, so that the two ends have different indices and the same index means different
		// links.
		for n := range 3 * (i + 1) {
			s.Run("ip", "link", "add", fmt.Sprintf("other%d", n), "type", "bridge")
		}
		_, err := s.AddWire(w, c.handle)
		check(t, err)
	}
	want := link.Outlets{Endpoints: []string{"endpoint-0", "endpoint-1"}}
	outlets(t, c, want)
	c.in.Up("eth0")
	outlets(t, c, want)

	host.Run("ip", "link", "add", "veth9", "type", "veth", "peer", "name", "peer9")
	host.in.Give("peer9", c.in, "eth9")
	c.Run("ip", "link", "add", "br0", "type", "bridge")
	outlets(t, c, want) // down, nothing leads out there
	c.in.Up("eth9")
	c.in.Up("br0")
	want.Others = []string{"br0", "eth9"}
	outlets(t, c, want)

	// A mark on the container's own side says nothing: whoever is in there can write one.
	c.Run("ip", "link", "set", "eth9", "alias", mark("endpoint-9").String())
	outlets(t, c, want)
	// Nor does one on another link of the container's that has the index of the other end.
	c.Run("ip", "link", "add", "both1", "type", "veth", "peer", "name", "both2")
	c.Run("ip", "link", "set", "both1", "alias", mark("endpoint-8").String(), "up")
	c.Run("ip", "link", "set", "both2", "alias", mark("endpoint-8").String(), "up")
	want.Others = []string{"both1", "both2", "br0", "eth9"}
	outlets(t, c, want)
	host.Run("ip", "link", "set", "veth9", "alias", "theirs")
	outlets(t, c, want)
	check(t, first.Delete("mcpw00000000000"))
	want.Endpoints = want.Endpoints[1:]
	outlets(t, c, want)
}

func outlets(t *testing.T, c space, want link.Outlets) {
	t.Helper()
	got, err := link.OutletsOf(c.handle)
	check(t, err)
	slices.Sort(got.Endpoints)
	slices.Sort(got.Others)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
