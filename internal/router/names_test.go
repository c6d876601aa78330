package router

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/policy"
)

// table is the kernel's part of names.
type table struct {
	held map[firewall.NameKey]string
	fail error
}

func (k *table) write(put, gone []firewall.Name) error {
	if k.fail != nil {
		return k.fail
	}
	for _, g := range gone {
		delete(k.held, g.Key())
	}
	for _, p := range put {
		k.held[p.Key()] = p.Real
	}
	return nil
}

func (k *table) clear(server netip.Addr) error {
	maps.DeleteFunc(k.held, func(key firewall.NameKey, _ string) bool { return key.Server == server.String() })
	return nil
}

func newTable(t *testing.T, allow string) (*names, *table) {
	t.Helper()
	p, err := policy.Parse(map[string]string{policy.KeyAllow: allow})
	if err != nil {
		t.Fatal(err)
	}
	k := &table{held: map[firewall.NameKey]string{}}
	return newNames(Config{Subnet: netip.MustParsePrefix("172.20.0.0/16"), Allow: p.Allow, Put: k.write, Clear: k.clear}), k
}

func addrs(list ...string) (out []netip.Addr) {
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

var (
	one, two = netip.MustParseAddr("172.20.0.2"), netip.MustParseAddr("172.20.0.3")
	real1    = "203.0.113.1"
	real2    = "203.0.113.2"
)

// TestBind: what the process asks for is judged again, and holds for the server that has asked alone.
func TestBind(t *testing.T) {
	n, k := newTable(t, "api.example.com,git.example.com:22,10.1.2.3:22")
	n.set(one, nil)
	n.set(two, &policy.Allow{})
	synthetic, err := n.bind(one, "git.example.com", addrs(real1, "::ffff:203.0.113.2"))
	if err != nil || !policy.NamePool.Contains(synthetic) {
		t.Fatalf("%v, %v", synthetic, err)
	}
	key := firewall.NameKey{Server: one.String(), Synthetic: synthetic.String(), Port: 22}
	if k.held[key] != real1 || len(k.held) != 1 {
		t.Errorf("the kernel holds %v", k.held)
	}
	for name, at := range map[string]netip.Addr{"other.example.com": one, "git.example.com": two, "api.example.com": two} {
		if got, err := n.bind(at, name, addrs(real1)); err == nil {
			t.Errorf("%s for %s: %v", name, at, got)
		}
	}
	for _, lie := range []string{"127.0.0.1", "169.254.169.254", "10.9.9.9", "0.0.0.0", "198.18.0.1", "224.0.0.1", "2001:db8::1", "::ffff:10.9.9.9"} {
		if got, err := n.bind(one, "git.example.com", addrs(lie)); err == nil {
			t.Errorf("a name that leads to %s has %v", lie, got)
		}
	}
	if _, err := n.bind(one, "git.example.com", addrs("10.1.2.3")); err != nil {
		t.Errorf("an address that the list holds: %v", err)
	}
}

// TestBindAgain: a name keeps its address, and connections go where they went as long as that is one of the name's.
func TestBindAgain(t *testing.T) {
	n, k := newTable(t, "git.example.com:22")
	n.set(one, nil)
	n.set(two, nil)
	first, err := n.bind(one, "git.example.com", addrs(real1, real2))
	if err != nil {
		t.Fatal(err)
	}
	key := firewall.NameKey{Server: one.String(), Synthetic: first.String(), Port: 22}
	for _, c := range []struct {
		now  []netip.Addr
		want string
	}{{addrs(real2, real1), real1}, {addrs(real2), real2}} {
		again, err := n.bind(one, "git.example.com", c.now)
		if err != nil || again != first || k.held[key] != c.want {
			t.Errorf("%v: %v at %v, %v; want %v", c.now, again, k.held[key], err, c.want)
		}
	}
	k.fail = errors.New("the kernel is full")
	if got, err := n.bind(two, "git.example.com", addrs(real1)); err == nil {
		t.Errorf("%v though the kernel does not hold it", got)
	}
	k.fail = nil
	if _, err := n.bind(two, "git.example.com", addrs(real1)); err != nil || len(k.held) != 2 {
		t.Errorf("the next try: %v, %v", err, k.held)
	}
}

// TestLeads: a connection goes to a name's own addresses, for a server that may reach it, on a port that the list
// opens.
func TestLeads(t *testing.T) {
	n, k := newTable(t, "api.example.com,git.example.com:22")
	n.set(one, nil)
	n.set(two, &policy.Allow{})
	api, err := n.bind(one, "api.example.com", addrs(real1, real2))
	if err != nil || len(k.held) != 0 { // the relay carries it
		t.Fatalf("%v, %v", err, k.held)
	}
	got, err := n.leads(one, netip.AddrPortFrom(api, 443))
	if err != nil || !slices.Equal(got, addrs(real1, real2)) {
		t.Errorf("%v, %v", got, err)
	}
	for at, server := range map[netip.AddrPort]netip.Addr{netip.AddrPortFrom(api, 80): one, netip.AddrPortFrom(api.Next(), 443): one,
		netip.AddrPortFrom(api, 443): two, netip.MustParseAddrPort("203.0.113.1:443"): one} {
		if got, err := n.leads(server, at); err == nil {
			t.Errorf("%s for %s leads to %v", at, server, got)
		}
	}
}

// TestNamesEnd: what a server may not reach any more ends in the kernel, and nothing of another server.
func TestNamesEnd(t *testing.T) {
	n, k := newTable(t, "git.example.com:22,db.example.com:5432")
	for _, server := range []netip.Addr{one, two} {
		n.set(server, nil)
		for _, name := range []string{"git.example.com", "db.example.com"} {
			if _, err := n.bind(server, name, addrs(real1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	own := policy.Allow{{Name: "git.example.com", Port: policy.Port{Protocol: policy.TCP, Number: 22}}}
	if err := n.set(one, &own); err != nil || len(k.held) != 3 {
		t.Errorf("after a narrower list: %v, %v", k.held, err)
	}
	if err := n.forget(two, "git.example.com"); err != nil || len(k.held) != 2 {
		t.Errorf("after a name was forgotten: %v, %v", k.held, err)
	}
	if err := n.forgetServer(one); err != nil || len(k.held) != 1 {
		t.Errorf("after a server ended: %v, %v", k.held, err)
	}
	if _, err := n.bind(one, "git.example.com", addrs(real1)); err == nil {
		t.Error("a server that is gone has a name")
	}
}
