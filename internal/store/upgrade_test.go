package store_test

import (
	"bufio"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

const (
	// schema1 is a directory that the program of testdata/82bb395 wrote.
	schema1 = "testdata/schema1"
	// oldCommit is the last one of schema 1.
	oldCommit = "82bb395"
)

// seeded copies the directory of an older mcpnet.
func seeded(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.CopyFS(dir, os.DirFS(schema1)))
	return dir
}

// expectSeeded checks what is read of a directory with the documents of an older mcpnet.
func expectSeeded(t *testing.T, c store.Contents) {
	t.Helper()
	if len(c.Networks) != 2 || len(c.Endpoints) != 5 {
		t.Errorf("%d networks, %d endpoints", len(c.Networks), len(c.Endpoints))
	}
	for _, n := range c.Networks {
		if n.Schema != schema || !n.Legacy || n.Pending != (n.ID == "pods") {
			t.Errorf("network %s: schema %d, legacy %v, pending %v", n.ID, n.Schema, n.Legacy, n.Pending)
		}
	}
	for _, e := range c.Endpoints {
		if e.Schema != schema || e.Joined == (e.ID == "candidate") {
			t.Errorf("endpoint %s: schema %d, joined %v", e.ID, e.Schema, e.Joined)
		}
	}
	if len(c.Unreadable) != 1 || c.Unreadable[0] != (store.Ref{Network: "broken"}) {
		t.Errorf("unreadable: %v", c.Unreadable)
	}
}

// TestUpgrade reads the documents of an older mcpnet, before and after the first opening for writing.
func TestUpgrade(t *testing.T) {
	dir := seeded(t)
	before := tree(t, dir)
	old := readAll(t, store.OpenView(dir))
	expectSeeded(t, old)
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Fatalf("reading changed: %s", diff)
	}
	s := open(t, dir)
	now := load(t, s)
	expectSeeded(t, now)
	old.Problems, now.Problems = nil, nil // they name the paths
	if diff := cmp.Diff(old, now, compareAddrs); diff != "" {
		t.Error(diff)
	}
	if holder, err := s.Claim("pods", netip.MustParseAddr("10.1.0.7"), "another"); holder != "pod-eth0" || err != nil {
		t.Errorf("address held by %q, %v", holder, err)
	}
	if s.Fact("features") != "boot reset=true" {
		t.Errorf("fact %q", s.Fact("features"))
	}
}

// TestLegacy: a network stays legacy until its document is written as one that is in force.
func TestLegacy(t *testing.T) {
	s := open(t, seeded(t))
	legacy := func(want bool) store.Network {
		t.Helper()
		n, err := s.Network("pods")
		check(t, err)
		if n.Legacy != want {
			t.Errorf("legacy %v, want %v", n.Legacy, want)
		}
		return n
	}
	n := legacy(true)
	check(t, s.PutPending(n.Network))
	check(t, s.PutEndpoint(endpoint("pods", "a"), true))
	legacy(true)
	check(t, s.PutNetwork(n.Network))
	legacy(false)
	check(t, s.PutPending(n.Network))
	legacy(false)
}

// TestUpgradeSeen reads all the time while many open an older directory for writing.
func TestUpgradeSeen(t *testing.T) {
	for range 10 {
		dir := seeded(t)
		ids := make(chan string, 8)
		var opening, reading sync.WaitGroup
		done := make(chan struct{})
		for range 2 {
			reading.Go(func() {
				v := store.OpenView(dir)
				for open := true; open; {
					select {
					case <-done:
						open = false
					default:
					}
					c, err := v.Load()
					if err != nil {
						t.Error(err)
					}
					expectSeeded(t, c)
				}
			})
		}
		for range cap(ids) {
			opening.Go(func() {
				s, err := store.OpenShared(dir)
				if err != nil {
					t.Error(err)
					return
				}
				id, err := s.Identity()
				if err != nil {
					t.Error(err)
				}
				ids <- id
			})
		}
		opening.Wait()
		close(done)
		reading.Wait()
		first := <-ids
		for len(ids) > 0 {
			if id := <-ids; id != first {
				t.Errorf("identities %s and %s", first, id)
			}
		}
	}
}

const identityDir = "MCPNET_TEST_IDENTITY"

// TestIdentityProcesses: processes that open a new store at once agree on its identity, and it stays.
func TestIdentityProcesses(t *testing.T) {
	if dir := os.Getenv(identityDir); dir != "" {
		s, err := store.OpenShared(dir)
		check(t, err)
		id, err := s.Identity()
		check(t, err)
		os.Stdout.WriteString("identity " + id + "\n")
		return
	}
	dir := filepath.Join(t.TempDir(), "new")
	var lock sync.Mutex
	seen := map[string]int{}
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			c := exec.Command(os.Args[0], "-test.run", "^TestIdentityProcesses$")
			c.Env = append(os.Environ(), identityDir+"="+dir)
			out, err := c.Output()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			lock.Lock()
			defer lock.Unlock()
			seen[strings.SplitN(string(out), "\n", 2)[0]]++
		})
	}
	group.Wait()
	id, err := store.OpenView(dir).Identity()
	check(t, err)
	if len(seen) != 1 || seen["identity "+id] != 6 {
		t.Errorf("identity %s, the processes saw %v", id, seen)
	}
}

// TestNewer: a directory that a later mcpnet upgraded is left alone, also by who has opened it before.
func TestNewer(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenShared(dir)
	check(t, err)
	check(t, s.PutNetwork(network("n")))
	check(t, os.WriteFile(filepath.Join(dir, "format"), []byte("3\n"), 0o600))
	before := tree(t, dir)
	_, opened := store.Open(dir)
	_, shared := store.OpenShared(dir)
	_, locked := s.Lock(t.Context())
	_, besides := s.RLock(t.Context())
	_, listed := store.OpenView(dir).Networks()
	_, loaded := store.OpenView(dir).Load()
	_, read := store.OpenView(dir).Network("n")
	_, viewed := store.OpenView(dir).RLock(t.Context())
	for what, err := range map[string]error{
		"Open": opened, "OpenShared": shared, "Lock": locked, "RLock": besides,
		"Networks": listed, "Load": loaded, "Network": read, "RLock of a view": viewed,
	} {
		if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), dir+": format 3") {
			t.Errorf("%s: %v", what, err)
		}
	}
	after := tree(t, dir)
	for _, lock := range []string{"lock", "lock.gate"} {
		delete(before, lock)
		delete(after, lock)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
}

// oldStore builds the program of testdata in the tree of the older commit.
func oldStore(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	git := "git -c safe.directory='*' "
	if out, err := exec.Command("sh", "-c", git+"cat-file -e "+oldCommit+"^{commit}").CombinedOutput(); err != nil {
		testnet.Lacks(t, "commit "+oldCommit, "a shallow clone? "+string(out))
	}
	program := filepath.Join(tree, "old")
	c := exec.Command("sh", "-c", `set -e
main=$PWD/testdata/$COMMIT/main.go top=$(`+git+`rev-parse --show-toplevel)
`+git+`-C "$top" archive $COMMIT | tar -x -C "$TREE"
mkdir "$TREE/oldstore"; cp "$main" "$TREE/oldstore"
cd "$TREE"; go build -buildvcs=false -o "$PROGRAM" ./oldstore`)
	c.Env = append(os.Environ(), "COMMIT="+oldCommit, "TREE="+tree, "PROGRAM="+program)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return program
}

// TestOldProgram runs the code of the older commit on directories of this one.
func TestOldProgram(t *testing.T) {
	old := oldStore(t)
	run := func(command, dir string) (string, error) {
		out, err := exec.Command(old, command, dir).CombinedOutput()
		return string(out), err
	}
	t.Run("testdata", func(t *testing.T) { // is what that code writes
		dir := t.TempDir()
		if out, err := run("seed", dir); err != nil {
			t.Fatal(out)
		}
		if diff := cmp.Diff(tree(t, schema1), tree(t, dir)); diff != "" {
			t.Error(diff)
		}
	})
	for name, from := range map[string]func(*testing.T) string{"new": (*testing.T).TempDir, "upgraded": seeded} {
		t.Run(name, func(t *testing.T) {
			dir := from(t)
			s := open(t, dir)
			check(t, s.PutNetwork(network("n")))
			check(t, s.PutEndpoint(endpoint("n", "a"), true))
			check(t, s.Close())
			before := tree(t, dir)
			for _, command := range []string{"open", "shared"} {
				out, err := run(command, dir)
				if err == nil || !strings.Contains(out, dir+"/networks: not a directory") {
					t.Errorf("%s: %v: %s", command, err, out)
				}
			}
			if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
				t.Errorf("the older program changed: %s", diff)
			}
		})
	}
	t.Run("resident", func(t *testing.T) { residentStops(t, exec.Command(old, "resident", seeded(t))) })
}

// residentStops has an older program open a directory, upgrades the directory, and lets the program work.
func residentStops(t *testing.T, c *exec.Cmd) {
	dir := c.Args[2]
	in, err := c.StdinPipe()
	check(t, err)
	out, err := c.StdoutPipe()
	check(t, err)
	check(t, c.Start())
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); line != "open\n" {
		t.Fatal(line, err)
	}
	open(t, dir).Close()
	before := tree(t, dir)
	_, err = in.Write([]byte("\n"))
	check(t, err)
	line, _ := said.ReadString('\n')
	if err := c.Wait(); err == nil || !strings.Contains(line, "networks: not a directory") {
		t.Errorf("%v: %s", err, line)
	}
	after := tree(t, dir)
	delete(after, "lock.gate")
	delete(before, "lock.gate")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the older program changed: %s", diff)
	}
}
