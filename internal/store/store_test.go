package store_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, s *store.Store) store.Contents {
	t.Helper()
	c, err := s.Load()
	check(t, err)
	return c
}

func network(id string) topology.Network {
	p, err := policy.Parse(map[string]string{policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:53/udp", policy.KeyEgress: "tcp/443,dns"})
	if err != nil {
		panic(err)
	}
	return topology.Network{ID: id, Name: "mcp", Owner: topology.OwnerDocker, Bridge: "mcp-secure", Subnet: netip.MustParsePrefix("172.20.0.0/16"),
		BridgeAddr: netip.MustParseAddr("172.20.0.1"), IPRange: netip.MustParsePrefix("172.20.240.0/20"), Policy: p}
}

func endpoint(network, id string) topology.Endpoint {
	a := netip.MustParseAddr("172.20.240.1")
	return topology.Endpoint{ID: id, NetworkID: network, Owner: topology.OwnerDocker, Role: topology.RoleServer, IP: a,
		MAC: topology.MACFor(network, a), Container: "server", Reason: "because"}
}

var compareAddrs = cmp.Options{cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	n, a, b := network("n"), endpoint("n", "a"), endpoint("n", "b")
	check(t, s.PutNetwork(n))
	check(t, s.PutEndpoint(a, false))
	check(t, s.PutEndpoint(a, true))
	check(t, s.PutEndpoint(b, false))
	check(t, s.Close())
	s = open(t, dir)
	want := store.Contents{Networks: []store.Network{{Schema: 1, Network: n}}, Endpoints: []store.Endpoint{{Schema: 1, Endpoint: a, Joined: true}, {Schema: 1, Endpoint: b}}}
	if diff := cmp.Diff(want, load(t, s), compareAddrs); diff != "" {
		t.Error(diff)
	}
	check(t, s.DeleteEndpoint("n", "a"))
	check(t, s.DeleteEndpoint("n", "a"))
	if got := load(t, s).Endpoints; len(got) != 1 || got[0].ID != "b" {
		t.Errorf("endpoints %v", got)
	}
	check(t, s.DeleteNetwork("n"))
	check(t, s.DeleteNetwork("n"))
	if diff := cmp.Diff(store.Contents{}, load(t, s)); diff != "" {
		t.Error(diff)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "networks", "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestOnlyRootReads(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	check(t, s.PutNetwork(network("n")))
	check(t, s.PutEndpoint(endpoint("n", "a"), true))
	check(t, filepath.WalkDir(filepath.Join(dir, "networks"), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}

// TestBadDocuments: one that cannot be read, or that an older mcpnet must not act on, is set aside and named; the others
// are read.
func TestBadDocuments(t *testing.T) {
	whole := func(t *testing.T, path string) string {
		b, err := os.ReadFile(path)
		check(t, err)
		return string(b)
	}
	for name, spoil := range map[string]func(t *testing.T, path string) string{
		"empty":     func(*testing.T, string) string { return "" },
		"truncated": func(t *testing.T, path string) string { s := whole(t, path); return s[:len(s)/2] },
		"garbage":   func(*testing.T, string) string { return "\x00\x00\x00\x00" },
		"a list":    func(*testing.T, string) string { return "[]" },
		"newer": func(t *testing.T, path string) string {
			return strings.NewReplacer(`"schema": 1`, `"schema": 2`, `"schema":1`, `"schema":2`).Replace(whole(t, path))
		},
		"without a schema": func(*testing.T, string) string { return "{}" },
		"hollow":           func(*testing.T, string) string { return `{"schema":1}` },
		"of another id": func(t *testing.T, path string) string {
			return strings.NewReplacer(`"id": "n"`, `"id": "x"`, `"id":"a"`, `"id":"x"`).Replace(whole(t, path))
		},
		"wrong address": func(t *testing.T, path string) string {
			return strings.NewReplacer("172.20.0.1\"", "172.20\"", "172.20.240.1", "172.20").Replace(whole(t, path))
		},
	} {
		for _, document := range []string{"network.json", "endpoints/a.json"} {
			t.Run(name+" "+filepath.Base(document), func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, dir)
				check(t, s.PutNetwork(network("n")))
				check(t, s.PutEndpoint(endpoint("n", "a"), true))
				check(t, s.PutNetwork(network("other")))
				path := filepath.Join(dir, "networks", "n", document)
				bad := spoil(t, path)
				check(t, os.WriteFile(path, []byte(bad), 0o600))
				expectSetAside(t, load(t, s), path, bad)
				if again := load(t, s).Problems; len(again) > 1 {
					t.Errorf("once more: %v", again)
				}
			})
		}
	}
}

func expectSetAside(t *testing.T, c store.Contents, path, content string) {
	t.Helper()
	if len(c.Problems) != 1 || !strings.Contains(c.Problems[0].Error(), path) {
		t.Fatalf("problems: %v", c.Problems)
	}
	aside := strings.TrimSuffix(path, ".json") + ".corrupt"
	if b, err := os.ReadFile(aside); err != nil || string(b) != content {
		t.Errorf("%s: %q, %v", aside, b, err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is still there", path)
	}
	if len(c.Networks)+len(c.Endpoints) != 2 {
		t.Errorf("the others are not read: %v %v", c.Networks, c.Endpoints)
	}
}

// TestHalfWritten: a document that was being written when the process died is not read.
func TestHalfWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	check(t, s.PutNetwork(network("n")))
	check(t, os.WriteFile(filepath.Join(dir, "networks/n/endpoints/.a.json.123"), []byte(`{"sche`), 0o600))
	if c := load(t, s); len(c.Problems) > 0 || len(c.Endpoints) > 0 {
		t.Errorf("%v %v", c.Problems, c.Endpoints)
	}
	check(t, s.PutEndpoint(endpoint("n", "a"), true))
	if c := load(t, s); len(c.Problems) > 0 || len(c.Endpoints) != 1 {
		t.Errorf("%v %v", c.Problems, c.Endpoints)
	}
}

func TestExclusive(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := store.Open(dir); err == nil || !strings.Contains(err.Error(), "another mcpnet process") {
		t.Errorf("got %v", err)
	}
	check(t, s.Close())
	open(t, dir)
}

func TestOpenSaysWhere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, nil, 0o600))
	if _, err := store.Open(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func TestBadIDs(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	check(t, s.PutNetwork(network("n")))
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc", "a b", "-x", ".hidden", "a\x00", "ü", strings.Repeat("x", 129)} {
		for what, err := range map[string]error{
			"PutNetwork":       s.PutNetwork(network(id)),
			"DeleteNetwork":    s.DeleteNetwork(id),
			"PutEndpoint":      s.PutEndpoint(endpoint("n", id), true),
			"PutEndpoint of":   s.PutEndpoint(endpoint(id, "a"), true),
			"DeleteEndpoint":   s.DeleteEndpoint("n", id),
			"DeleteEndpoint o": s.DeleteEndpoint(id, "a"),
		} {
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", id)) {
				t.Errorf("%s(%q): %v", what, id, err)
			}
		}
	}
	if c := load(t, s); len(c.Networks) != 1 || len(c.Endpoints) > 0 || len(c.Problems) > 0 {
		t.Errorf("%+v", c)
	}
}

// TestReside takes the place of a resident while others look, again and again, whether there is one.
func TestReside(t *testing.T) {
	s, err := store.OpenShared(t.TempDir())
	check(t, err)
	stop := make(chan struct{})
	var others sync.WaitGroup
	defer others.Wait()
	defer close(stop)
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = s.HasResident()
				}
			}
		})
	}
	for range 20 {
		leave, err := s.Reside()
		check(t, err)
		if there, err := s.HasResident(); err != nil || !there {
			t.Fatalf("nobody resides: %v", err)
		}
		leave()
	}
}
