package ipam_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/mcpnet/mcpnet/internal/ipam"
)

// TestHostLocal: an address is one attachment's from ADD to DEL or GC, and reserved ones are for who asks.
func TestHostLocal(t *testing.T) {
	gateway, ctx := netip.MustParseAddr("10.1.0.3"), t.Context()
	conf := fmt.Sprintf(`{"cniVersion": "1.1.0", "name": "n", "type": "mcpnet", "ipam": {"type": "host-local", "dataDir": %q,
		"ranges": [[{"subnet": "10.1.0.0/29", "gateway": "10.1.0.1"}]]}}`, t.TempDir())
	p, err := ipam.Open(ipam.HostLocal, []byte(conf), []netip.Addr{gateway})
	check(t, err)
	if subnet, bridge, known := p.Subnet(); subnet.String() != "10.1.0.0/29" || bridge.String() != "10.1.0.1" || !known {
		t.Errorf("subnet %s, bridge %s, known %v", subnet, bridge, known)
	}
	check(t, p.Status(ctx))
	all := map[netip.Addr]ipam.Attachment{}
	add := func(id string, asked ...netip.Addr) error {
		a := ipam.Attachment{ContainerID: id, IfName: "eth0"}
		lease, err := p.Add(ctx, a, asked)
		if err != nil {
			return err
		}
		if other, taken := all[lease.Addr.Addr()]; taken || lease.Addr.Bits() != 29 || lease.Gateway.String() != "10.1.0.1" {
			t.Errorf("%s gets %+v, which %q has", id, lease, other.ContainerID)
		}
		all[lease.Addr.Addr()] = a
		return nil
	}
	for i := range 4 {
		check(t, add(fmt.Sprint("c", i)))
	}
	if _, taken := all[gateway]; taken {
		t.Error("the reserved address goes to one who did not ask")
	}
	if err := add("late"); !errors.Is(err, ipam.ErrExhausted) {
		t.Errorf("with all addresses given away: %v", err)
	}
	check(t, add("gateway", gateway))
	for _, a := range all {
		check(t, p.Check(ctx, a))
	}
	gone := ipam.Attachment{ContainerID: "c1", IfName: "eth0"}
	for range 2 { // what is not there is no error
		check(t, p.Del(ctx, gone, netip.Addr{}))
	}
	if p.Check(ctx, gone) == nil || p.Check(ctx, ipam.Attachment{ContainerID: "c2", IfName: "eth1"}) == nil {
		t.Error("CHECK finds an address that nobody has")
	}
	check(t, p.GC(ctx, []ipam.Attachment{all[gateway]}))
	for _, a := range all {
		if err := p.Check(ctx, a); (err == nil) != (a == all[gateway]) {
			t.Errorf("after GC: %s: %v", a.ContainerID, err)
		}
	}
}

// TestHostLocalWithoutFiles: who cannot look does not say that all is well.
func TestHostLocalWithoutFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	p, err := ipam.Open(ipam.HostLocal, fmt.Appendf(nil, `{"cniVersion": "1.1.0", "name": "n", "type": "mcpnet", "ipam": {"type": "host-local",
		"dataDir": %q, "ranges": [[{"subnet": "10.1.0.0/29"}]]}}`, file), nil)
	check(t, err)
	a := ipam.Attachment{ContainerID: "c", IfName: "eth0"}
	_, added := p.Add(t.Context(), a, nil)
	for what, err := range map[string]error{"ADD": added, "CHECK": p.Check(t.Context(), a), "GC": p.GC(t.Context(), nil)} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
