package link_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// space is a namespace with its links open.
type space struct {
	*link.Links
	in     *testnet.NS
	handle ns.Handle
}

// Run leaves out what ip complains of when another test's namespace goes while it names the namespaces of links.
func (s space) Run(name string, args ...string) string {
	return strings.ReplaceAll(s.in.Run(name, args...), "Error: Peer netns reference is invalid.\n", "")
}

func (s space) Sysctl(key, value string) { s.in.Sysctl(key, value) }

func (s space) AddBridge(name string, addrs ...string) { s.in.AddBridge(name, addrs...) }

func open(t *testing.T, label string) space {
	t.Helper()
	in := testnet.New(t, label)
	h, err := ns.Open(in.Path())
	check(t, err)
	l, err := link.Open(h)
	check(t, err)
	t.Cleanup(func() { l.Close(); h.Close() })
	return space{l, in, h}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s space) find(t *testing.T, name string) link.Link {
	t.Helper()
	found, err := s.Find(name)
	check(t, err)
	return found
}

// read gives settings below /proc/sys, by their names.
func (s space) read(t *testing.T, dir string, keys ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	check(t, s.in.Do(func() error {
		for _, key := range keys {
			b, err := os.ReadFile(filepath.Join("/proc/sys", dir, key))
			if err != nil {
				return err
			}
			out[key] = strings.TrimSpace(string(b))
		}
		return nil
	}))
	return out
}

var keys = []string{"rp_filter", "forwarding", "arp_ignore", "proxy_arp", "accept_redirects", "send_redirects",
	"accept_source_route", "arp_accept", "accept_local", "route_localnet"}

// settings holds a link's IPv4 settings to those of a kind, where the kernel shows them. Those that are not named are
// off.
func (s space) settings(t *testing.T, name string, on map[string]string) {
	t.Helper()
	want := map[string]string{}
	for _, key := range keys {
		want[key] = "0"
		if value, ok := on[key]; ok {
			want[key] = value
		}
	}
	if diff := cmp.Diff(want, s.read(t, "net/ipv4/conf/"+name, keys...)); diff != "" {
		t.Errorf("settings of %s:\n%s", name, diff)
	}
	if details := s.Run("ip", "-d", "link", "show", "dev", name); !strings.Contains(details, "addrgenmode none") {
		t.Errorf("%s makes itself an IPv6 address:\n%s", name, details)
	}
}

// The kinds of links.
var (
	quiet  = map[string]string{"rp_filter": "1", "arp_ignore": "8"}
	router = map[string]string{"rp_filter": "1", "forwarding": "1", "arp_ignore": "8"}
	uplink = map[string]string{"forwarding": "1", "arp_ignore": "8"}
)

// spoil sets what a host may have for links to come, and must not reach one of ours.
func (s space) spoil(name string) {
	for _, key := range keys {
		s.Sysctl("net.ipv4.conf."+name+"."+key, map[bool]string{true: "0", false: "1"}[key == "rp_filter"])
	}
}

func mark(id string) topology.Mark {
	return topology.Mark{Owner: topology.OwnerDocker, ID: id, Store: "c0ffee"}
}

func bridge() link.Bridge { return link.Bridge{Name: "mcp-secure", MTU: 1400, Mark: mark("4f2a9c1e")} }

func TestEnsureBridge(t *testing.T) {
	s := open(t, "net")
	s.spoil("default")
	b := bridge()
	check(t, s.EnsureBridge(b))
	first := s.Run("ip", "addr", "show", "dev", b.Name)
	check(t, s.EnsureBridge(b))
	if diff := cmp.Diff(first, s.Run("ip", "addr", "show", "dev", b.Name)); diff != "" {
		t.Errorf("a second time changes something:\n%s", diff)
	}
	found := s.find(t, b.Name)
	want := link.Link{Name: b.Name, Index: found.Index, Up: true, MTU: 1400, MAC: found.MAC,
		Alias: "mcpnet docker 4f2a9c1e c0ffee", Type: "bridge", PeerNS: -1, Settings: topology.SettingsQuiet, IPv6: true}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
	if got, ok := found.Mark(); got != b.Mark || !ok {
		t.Errorf("mark %+v, %v", got, ok)
	}
	s.settings(t, b.Name, quiet)
	details := s.Run("ip", "-d", "link", "show", "dev", b.Name)
	for _, part := range []string{"mcast_snooping 0", "stp_state 0"} {
		if !strings.Contains(details, part) {
			t.Errorf("no %s in\n%s", part, details)
		}
	}
	if strings.Contains(first, "inet") {
		t.Errorf("the bridge has an address:\n%s", first)
	}
}

func TestEnsureBridgeMends(t *testing.T) {
	s := open(t, "net")
	b := bridge()
	check(t, s.EnsureBridge(b))
	s.Run("ip", "link", "set", b.Name, "down", "alias", "x")
	s.spoil("mcp-secure")
	check(t, s.EnsureBridge(b))
	s.settings(t, b.Name, quiet)
	if found := s.find(t, b.Name); !found.Up || found.Alias != b.Mark.String() {
		t.Errorf("%+v", found)
	}
}

// TestForeignLinks: a link of one of our names and another kind is neither used nor changed.
func TestForeignLinks(t *testing.T) {
	for name, ensure := range map[string]func(space) error{
		"mcp-secure": func(s space) error { return s.EnsureBridge(bridge()) },
		"mcp-router": func(s space) error { return s.EnsureRouter(routerOf()) },
		"mcp-rport":  func(s space) error { return s.EnsureRouter(routerOf()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "net")
			kind := map[bool]string{true: "veth", false: "bridge"}[name == "mcp-secure"]
			s.Run("ip", "link", "add", name, "type", kind)
			before := s.Run("ip", "-d", "addr", "show", "dev", name)
			if err := ensure(s); !errors.Is(err, link.ErrForeign) ||
				!strings.Contains(err.Error(), name+" ("+kind+")") {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, s.Run("ip", "-d", "addr", "show", "dev", name)); diff != "" {
				t.Errorf("changed:\n%s", diff)
			}
		})
	}
}

func TestEnslaveUpDownDelete(t *testing.T) {
	s, c := open(t, "net"), open(t, "container")
	b, w := bridge(), wire()
	check(t, s.EnsureBridge(b))
	_, err := s.AddWire(w, c.handle)
	check(t, err)
	check(t, s.Enslave(w.Name, b.Name))
	check(t, s.Enslave(w.Name, b.Name))
	check(t, s.Up(w.Name))
	master := s.find(t, b.Name)
	if found := s.find(t, w.Name); found.Master != master.Index || !found.Up {
		t.Errorf("%+v is not an active port of %d", found, master.Index)
	}
	if details := s.Run("ip", "-d", "link", "show", "dev", w.Name); !strings.Contains(details, "isolated on") {
		t.Errorf("the port is not isolated:\n%s", details)
	}
	check(t, s.Down(w.Name))
	if s.find(t, w.Name).Up {
		t.Error("still up")
	}
	check(t, s.Delete(w.Name))
	check(t, s.Delete(w.Name))
	for what, err := range map[string]error{"up": s.Up(w.Name), "down": s.Down(w.Name), "group": s.SetGroup(w.Name, 2),
		"move": s.Give(w.Name, c.handle, "x")} {
		if !errors.Is(err, link.ErrNotFound) || !strings.Contains(err.Error(), w.Name) {
			t.Errorf("%s of what is missing: %v", what, err)
		}
	}
	if err := s.Enslave(w.Name, b.Name); err == nil || !strings.Contains(err.Error(), w.Name) {
		t.Errorf("enslave what is missing: %v", err)
	}
}

func TestListAndMarks(t *testing.T) {
	s := open(t, "net")
	check(t, s.EnsureBridge(bridge()))
	check(t, s.EnsureRouter(routerOf()))
	s.Run("ip", "link", "add", "foreign", "type", "bridge")
	s.Run("ip", "link", "set", "foreign", "alias", "mcpnet")
	listed, err := s.List()
	check(t, err)
	got := map[string]string{}
	for _, one := range listed {
		m, _ := one.Mark()
		got[one.Name] = m.ID
		if one.Name == topology.Router {
			if diff := cmp.Diff("[172.20.0.1/16]", prefixes(one.Addrs)); diff != "" {
				t.Error(diff)
			}
		}
	}
	want := map[string]string{"lo": "", "foreign": "", "mcp-secure": "4f2a9c1e", "mcp-router": "4f2a9c1e",
		"mcp-rport": "4f2a9c1e"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	found := s.find(t, topology.Router)
	if at, err := s.At(found.Index); err != nil || at.Name != topology.Router {
		t.Errorf("at %d: %+v, %v", found.Index, at, err)
	}
	if _, err := s.At(9999); !errors.Is(err, link.ErrNotFound) {
		t.Errorf("at an index of none: %v", err)
	}
}

func prefixes(p []netip.Prefix) string {
	var out []string
	for _, one := range p {
		out = append(out, one.String())
	}
	return "[" + strings.Join(out, " ") + "]"
}

// TestInUse: a subnet is in use by an address in it or around it, and by a route to it or into it; a wider route is not
// in the way.
func TestInUse(t *testing.T) {
	s := open(t, "host")
	s.AddBridge("other", "172.21.0.1/16", "10.1.2.3/32")
	s.AddBridge("routed", "192.0.2.1/24")
	s.AddBridge("own", "172.20.0.1/16")
	s.Run("ip", "route", "add", "10.8.0.0/16", "via", "192.0.2.2")
	s.Run("ip", "route", "add", "10.9.1.0/24", "dev", "routed")
	s.Run("ip", "route", "add", "172.30.0.0/16", "via", "169.254.1.1", "dev", "routed", "onlink") // as an uplink has it
	s.Run("ip", "route", "add", "default", "via", "192.0.2.2")
	s.Run("ip", "link", "add", "still", "type", "bridge")
	s.Run("ip", "addr", "add", "172.22.0.1/24", "dev", "still")
	for prefix, want := range map[string]string{
		"172.20.0.0/16": "", "172.20.5.0/24": "", // its own
		"172.21.0.0/24": "other", "172.21.0.0/16": "other", "172.16.0.0/12": "other|still|routed",
		"10.1.2.0/24": "other", "10.1.3.0/24": "",
		"127.0.0.0/8": "lo", "172.22.0.0/16": "still",
		"10.8.0.0/16": "routed", "10.0.0.0/8": "other|routed", // a route to it, or to a part of it
		"10.8.5.0/24": "", "198.51.100.0/24": "", // within a wider route
		"172.30.5.0/24": "routed", "172.30.0.0/16": "routed",
		"10.9.0.0/16": "routed", "10.9.1.0/24": "routed", "10.9.2.0/24": "",
	} {
		got, err := s.InUse(netip.MustParsePrefix(prefix), "own")
		if err != nil || (got != want && (got == "" || !strings.Contains("|"+want+"|", "|"+got+"|"))) {
			t.Errorf("%s: got %q (%v), want %q", prefix, got, err, want)
		}
	}
	subnet := netip.MustParsePrefix("172.20.5.0/24")
	for _, except := range [][]string{nil, {"none"}, {"none", "other"}} {
		if got, _ := s.InUse(subnet, except...); got != "own" {
			t.Errorf("except %v: got %q", except, got)
		}
	}
}
