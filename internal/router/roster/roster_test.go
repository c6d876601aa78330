package roster_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/router/roster"
)

func list(t *testing.T, value string) policy.Allow {
	t.Helper()
	e, err := policy.ParseEndpoint(map[string]string{policy.KeyAllow: value})
	if err != nil {
		t.Fatal(err)
	}
	return *e.Allow
}

// TestFind: a server's names are those of its own list, or of the network's, and of nobody who is not there.
func TestFind(t *testing.T) {
	r := roster.New(list(t, "api.example.com,api.example.com:80,*.cdn.example.net,*.a.cdn.example.net:22,203.0.113.7"))
	whole, narrow, closed, stranger := netip.MustParseAddr("172.20.0.2"), netip.MustParseAddr("172.20.0.3"),
		netip.MustParseAddr("172.20.0.4"), netip.MustParseAddr("172.20.0.5")
	some, none := list(t, "x.cdn.example.net"), list(t, "off")
	r.Set(whole, nil)
	r.Set(narrow, &some)
	r.Set(closed, &none)
	for _, c := range []struct {
		server netip.Addr
		name   string
		zone   string
		ports  []uint16
	}{
		{whole, "api.example.com", "", []uint16{443, 80}},
		{whole, "x.cdn.example.net", "cdn.example.net", []uint16{443}},
		{whole, "y.a.cdn.example.net", "a.cdn.example.net", []uint16{22, 443}},
		{whole, "cdn.example.net", "", nil},
		{whole, "evilcdn.example.net", "", nil},
		{whole, "example.com", "", nil},
		{whole, "203.0.113.7", "", nil},
		{whole, "", "", nil},
		{narrow, "x.cdn.example.net", "", []uint16{443}},
		{narrow, "api.example.com", "", nil},
		{closed, "api.example.com", "", nil},
		{stranger, "api.example.com", "", nil},
	} {
		g, ok := r.Find(c.server, c.name)
		if ok != (len(c.ports) > 0) || !slices.Equal(g.Ports, c.ports) || ok && g.Zone != c.zone {
			t.Errorf("%s, %q: %+v %v, want ports %v of zone %q", c.server, c.name, g, ok, c.ports, c.zone)
		}
		for _, port := range []uint16{22, 53, 80, 443} {
			if g.Opens(port) != slices.Contains(c.ports, port) {
				t.Errorf("%s, %q: port %d open %v", c.server, c.name, port, g.Opens(port))
			}
		}
	}
	before, _ := r.Find(whole, "api.example.com")
	r.Drop(narrow)
	if _, ok := r.Find(narrow, "x.cdn.example.net"); ok {
		t.Error("a server that is gone has a name")
	}
	if after, _ := r.Find(whole, "api.example.com"); after.Generation == before.Generation {
		t.Error("a change is of no new generation")
	}
}
