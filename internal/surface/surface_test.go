package surface_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/problem"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestRowsDiffer: no two surfaces share a store, or the names of what lies on the host.
func TestRowsDiffer(t *testing.T) {
	stores, names := map[string]bool{}, map[string]bool{}
	for _, s := range surface.All() {
		e := topology.Endpoint{ID: "a", Owner: s.Owner}
		store := s.Store("/root")
		if stores[store] || names[e.Peer()] || names[e.LegacyWire()] {
			t.Errorf("%s: store %s, links %s and %s are not its own", s.Owner, store, e.Peer(), e.LegacyWire())
		}
		stores[store], names[e.Peer()], names[e.LegacyWire()] = true, true, true
	}
}

// TestNamespaces: networks are where ip-netns(8) looks for them, unless somebody names another directory.
func TestNamespaces(t *testing.T) {
	if got := surface.Namespaces(""); got != "/run/netns" {
		t.Errorf("without the variable: %s", got)
	}
	if got := surface.Namespaces("/x"); got != "/x" {
		t.Errorf("with the variable: %s", got)
	}
}

// TestWordsAreComplete: only --internal is something that a surface may lack.
func TestWordsAreComplete(t *testing.T) {
	for _, s := range surface.All() {
		words := reflect.ValueOf(s.Words)
		for i := range words.NumField() {
			if name := words.Type().Field(i).Name; name != "Internal" && words.Field(i).String() == "" {
				t.Errorf("%s has no word %s", s.Owner, name)
			}
		}
	}
}

// TestProcesses: Docker's plugin is one process that is told later who asked for an address; the others start one for
// each call, which knows all.
func TestProcesses(t *testing.T) {
	for _, s := range surface.All() {
		if docker := s.Owner == topology.OwnerDocker; s.Resident != docker || s.Later != docker {
			t.Errorf("%s: resident %v, later %v", s.Owner, s.Resident, s.Later)
		}
	}
}

func TestStores(t *testing.T) {
	if got := surface.Root(""); got != "/var/lib/mcpnet" {
		t.Errorf("root without the variable: %s", got)
	}
	for s, want := range map[surface.Surface]string{surface.Docker: "/x", surface.CNI: "/x/cni",
		surface.Netavark: "/x/netavark"} {
		if got := s.Store(surface.Root("/x")); got != want {
			t.Errorf("%s: got %s, want %s", s.Owner, got, want)
		}
	}
	for _, s := range surface.PerCall() {
		if s.Resident {
			t.Errorf("%s starts no process for each call", s.Owner)
		}
	}
}

// TestTranslate: whatever package policy says comes out in the surface's own words.
func TestTranslate(t *testing.T) {
	options := map[string]string{policy.KeyGateway: "10.9.9.9:80", policy.KeyBridge: "0", policy.KeyMTU: "1",
		"mcpnet.gatway": "x"}
	_, err := policy.Parse(options)
	problems, _ := problem.Of(err)
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.20.0.1:80"})
	if err != nil {
		t.Fatal(err)
	}
	placed, _ := problem.Of(p.Validate(policy.Network{Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), IPv6: true}))
	problems = append(problems, placed...)
	for s, want := range map[surface.Surface][]string{
		surface.Docker: {"com.docker.network.bridge.name=", "com.docker.network.driver.mtu=", "mcpnet.gatway=",
			"mean mcpnet.gateway?", "--ipv6:", "another --gateway"},
		surface.Netavark: {"com.docker.network.bridge.name=", "com.docker.network.driver.mtu=", "mcpnet.gatway=",
			"mean mcpnet.gateway?", "--ipv6:", "another --gateway"},
		surface.CNI: {"bridge=", "mtu=", "policy.gatway=", "mean gateway?", "ipam.ranges:",
			"another ipam.gateway"},
	} {
		text := s.Words.Translate(problems).Error()
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is missing:\n%s", s.Owner, part, text)
			}
		}
		if s.Owner == topology.OwnerCNI && (strings.Contains(text, "com.docker") || strings.Contains(text, "mcpnet.")) {
			t.Errorf("words of Docker:\n%s", text)
		}
	}
}
