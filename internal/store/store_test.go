package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// documents is where the documents of networks are.
	documents = "v2"
	schema    = 2
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
	p, err := policy.Parse(map[string]string{
		policy.KeyGateway: "172.20.0.100:8080,172.20.0.101:53/udp", policy.KeyEgress: "tcp/443,dns",
	})
	if err != nil {
		panic(err)
	}
	return topology.Network{
		ID: id, Name: "mcp", Owner: topology.OwnerDocker, Bridge: "mcp-secure",
		Subnet: netip.MustParsePrefix("172.20.0.0/16"), BridgeAddr: netip.MustParseAddr("172.20.0.1"),
		IPRange: netip.MustParsePrefix("172.20.240.0/20"), Policy: p,
	}
}

func endpoint(network, id string) topology.Endpoint {
	a := netip.MustParseAddr("172.20.240.1")
	return topology.Endpoint{ID: id, NetworkID: network, Owner: topology.OwnerDocker, Role: topology.RoleServer, IP: a,
		MAC: topology.MACFor(network, a), Container: "server", Reason: "because"}
}

var compareAddrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

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
	want := store.Contents{
		Networks:  []store.Network{{Schema: schema, Network: n}},
		Endpoints: []store.Endpoint{{Schema: schema, Endpoint: a, Joined: true}, {Schema: schema, Endpoint: b}},
	}
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
	if left, _ := filepath.Glob(filepath.Join(dir, documents, "*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestOnlyRootReads(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	check(t, s.PutNetwork(network("n")))
	check(t, s.PutEndpoint(endpoint("n", "a"), true))
	check(t, filepath.WalkDir(filepath.Join(dir, documents), func(path string, d os.DirEntry, err error) error {
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

// TestBadDocuments: one that cannot be read, or that an older mcpnet must not act on, stays where it is and is named.
// The others are read.
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
			return regexp.MustCompile(`"schema": ?\d`).ReplaceAllString(whole(t, path), `"schema": 9`)
		},
		"without a schema": func(*testing.T, string) string { return "{}" },
		"hollow":           func(*testing.T, string) string { return fmt.Sprintf(`{"schema":%d}`, schema) },
		"of another id": func(t *testing.T, path string) string {
			return strings.NewReplacer(`"id": "n"`, `"id": "x"`, `"id":"a"`, `"id":"x"`).Replace(whole(t, path))
		},
		"a key twice": func(t *testing.T, path string) string {
			return strings.Replace(whole(t, path), `"owner"`, `"owner":"cni","owner"`, 1)
		},
		"a key in another case": func(t *testing.T, path string) string {
			return strings.Replace(whole(t, path), `"owner"`, `"Owner"`, 1)
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
				path := filepath.Join(dir, documents, "n", document)
				bad := spoil(t, path)
				check(t, os.WriteFile(path, []byte(bad), 0o600))
				want := store.Ref{Network: "n"}
				if document != "network.json" {
					want.Endpoint = "a"
				}
				expectProblem(t, load(t, s), path, want)
				expectProblem(t, load(t, s), path, want)
				if got := whole(t, path); got != bad {
					t.Errorf("the document was changed: %q", got)
				}
			})
		}
	}
}

func expectProblem(t *testing.T, c store.Contents, path string, about store.Ref) {
	t.Helper()
	if len(c.Problems) != 1 || c.Problems[0].Path != path || c.Problems[0].Ref != about || c.Problems[0].Remedy == "" {
		t.Fatalf("problems: %v", c.Problems)
	}
	if text := c.Problems[0].Error(); !strings.Contains(text, path) || !strings.Contains(text, c.Problems[0].Remedy) {
		t.Errorf("problem says: %s", text)
	}
	if !slices.Contains(c.Unreadable, about) {
		t.Errorf("unreadable: %v, want %v", c.Unreadable, about)
	}
	if len(c.Networks)+len(c.Endpoints) != 2 {
		t.Errorf("the others are not read: %v %v", c.Networks, c.Endpoints)
	}
}

// TestUnreadable: whatever a document may be about is named, so that a collector spares it.
func TestUnreadable(t *testing.T) {
	ref := func(network, endpoint string) store.Ref { return store.Ref{Network: network, Endpoint: endpoint} }
	move := func(from, to string) func(string) error {
		return func(dir string) error { return os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)) }
	}
	for name, tt := range map[string]struct {
		harm func(documents string) error
		want []store.Ref
	}{
		"endpoint of another name": {
			move("n/endpoints/a.json", "n/endpoints/b.json"), []store.Ref{ref("n", "b"), ref("n", "a")},
		},
		"endpoint of another network": {
			move("n/endpoints/a.json", "o/endpoints/a.json"), []store.Ref{ref("o", "a"), ref("n", "a")},
		},
		"network of another name": {
			move("n/network.json", "o/network.json"), []store.Ref{ref("n", ""), ref("o", ""), ref("n", "")},
		},
		"network without a document": {move("n/network.json", "n/x"), []store.Ref{ref("n", "")}},
		"endpoints are a file": {func(dir string) error {
			path := filepath.Join(dir, "n/endpoints")
			return errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600))
		}, []store.Ref{ref("n", "")}},
		"a file beside networks": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "x"), nil, 0o600)
		}, nil},
		"a network that has nothing": {func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, "x/endpoints"), 0o700)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			check(t, s.PutNetwork(network("n")))
			check(t, s.PutNetwork(network("o")))
			check(t, s.PutEndpoint(endpoint("n", "a"), true))
			check(t, tt.harm(filepath.Join(dir, documents)))
			if c := load(t, s); !slices.Equal(c.Unreadable, tt.want) {
				t.Errorf("unreadable: %v, want %v; problems %v", c.Unreadable, tt.want, c.Problems)
			}
		})
	}
}

// TestViewChangesNothing reads everything of a store that has bad documents, under the shared lock.
func TestViewChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	check(t, s.PutNetwork(network("n")))
	check(t, s.PutEndpoint(endpoint("n", "a"), true))
	check(t, os.WriteFile(filepath.Join(dir, documents, "n/endpoints/a.json"), []byte("{"), 0o600))
	check(t, s.Close())
	check(t, os.Remove(filepath.Join(dir, "lock")))
	before := tree(t, dir)
	readAll(t, store.OpenView(dir))
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	missing := filepath.Join(dir, "missing")
	readAll(t, store.OpenView(missing))
	if _, err := os.Stat(missing); err == nil {
		t.Error("a view made its directory")
	}
}

// readAll reads what there is under the shared lock, and gives it.
func readAll(t *testing.T, v *store.View) store.Contents {
	t.Helper()
	unlock, err := v.RLock(t.Context())
	check(t, err)
	defer unlock()
	c, err := v.Load()
	check(t, err)
	networks, err := v.Networks()
	if len(networks) != len(c.Networks) {
		t.Errorf("networks %v, %v; loaded %v", networks, err, c.Networks)
	}
	for _, e := range c.Endpoints {
		if got, err := v.Endpoint(e.NetworkID, e.ID); err != nil || got.IP != e.IP {
			t.Errorf("endpoint %s: %v, %v", e.ID, got, err)
		}
	}
	for _, n := range networks {
		_, err := v.HasEndpoints(n.ID)
		check(t, err)
	}
	v.Fact("features")
	_, err = v.HasResident()
	check(t, err)
	return c
}

// tree gives every file of a directory with its text.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			found[rel] = "directory"
			return nil
		}
		text, err := os.ReadFile(path)
		found[rel] = string(text)
		return err
	}))
	return found
}

// TestHalfWritten: a document that was being written when the process died is not read.
func TestHalfWritten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	check(t, s.PutNetwork(network("n")))
	check(t, os.WriteFile(filepath.Join(dir, documents, "n/endpoints/.a.json.123"), []byte(`{"sche`), 0o600))
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

// TestNoLock: whoever cannot have the lock does not work without it.
func TestNoLock(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenShared(dir)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	for _, name := range []string{"lock", "lock.gate"} {
		path := filepath.Join(dir, name)
		check(t, os.RemoveAll(path))
		check(t, os.Mkdir(path, 0o700)) // which is no file to create
		for how, take := range map[string]func(context.Context) (func(), error){"alone": s.Lock, "beside": s.RLock} {
			unlock, err := take(t.Context())
			if err == nil {
				unlock()
			}
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
		check(t, os.Remove(path))
	}
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
	bad := []string{"", ".", "..", "../x", "a/b", "/etc", "a b", "-x", ".hidden", "a\x00", "ü", strings.Repeat("x", 129)}
	for _, id := range bad {
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
