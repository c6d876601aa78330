package testhost

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// oldCommit is the last one whose networks have no namespaces of their own.
const oldCommit = "82bb395"

// Old is a network that the engine of oldCommit makes, with containers that run.
type Old struct {
	Owner           topology.Owner
	Store, NetNS    string
	ID, Subnet      string
	Router, Options string
	Endpoints       []OldEndpoint
}

// OldEndpoint is one of its containers.
type OldEndpoint struct {
	ID, IP, Sandbox string
	Role            topology.Role
	Container       *testnet.NS `json:"-"`
}

// oldProgram is built once for each test program, in a directory that the last test leaves to the system.
var oldProgram = struct {
	sync.Mutex
	path string
}{}

// MakeOld makes the network on a host, and gives its containers their interfaces.
func MakeOld(t testing.TB, w *testnet.World, o Old) {
	t.Helper()
	program := buildOld(t)
	for i := range o.Endpoints {
		o.Endpoints[i].Sandbox = o.Endpoints[i].Container.Path()
	}
	order, err := json.Marshal(o)
	check(t, err)
	c := exec.Command(program)
	c.Stdin = bytes.NewReader(order)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("engine of %s: %v: %s", oldCommit, err, out)
	}
	if o.Owner != topology.OwnerDocker {
		return
	}
	for i, name := range printed(string(out)) {
		e := o.Endpoints[i]
		w.Host.Give(name, e.Container, "eth0")
		e.Container.AddAddr("eth0", e.IP+"/16")
		e.Container.Up("eth0")
		WaitForCarrier(t, e.Container, "eth0")
	}
}

// printed are the names of interfaces among what the program says.
func printed(out string) (names []string) {
	for line := range strings.Lines(out) {
		if name := strings.TrimSpace(line); !strings.ContainsAny(name, " =") && name != "" {
			names = append(names, name)
		}
	}
	return names
}

// buildOld builds the program of testdata in the tree of the older commit.
func buildOld(t testing.TB) string {
	t.Helper()
	oldProgram.Lock()
	defer oldProgram.Unlock()
	if oldProgram.path != "" {
		return oldProgram.path
	}
	git := "git -c safe.directory='*' "
	if out, err := exec.Command("sh", "-c", git+"cat-file -e "+oldCommit+"^{commit}").CombinedOutput(); err != nil {
		testnet.Lacks(t, "commit "+oldCommit, "a shallow clone? "+string(out))
	}
	tree, err := os.MkdirTemp("", "mcpnet-old-")
	check(t, err)
	defer os.RemoveAll(tree)
	program := filepath.Join(os.TempDir(), "mcpnet-test-"+oldCommit+"-"+filepath.Base(tree))
	c := exec.Command("sh", "-c", `set -e
top=$(`+git+`rev-parse --show-toplevel)
`+git+`-C "$top" archive $COMMIT | tar -x -C "$TREE"
mkdir "$TREE/oldengine"; cp "$top/internal/testhost/testdata/$COMMIT/main.go" "$TREE/oldengine"
cd "$TREE"; go build -buildvcs=false -o "$PROGRAM" ./oldengine`)
	c.Env = append(os.Environ(), "COMMIT="+oldCommit, "TREE="+tree, "PROGRAM="+program)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	oldProgram.path = program
	return program
}

// RemoveOld removes the program: call it when all tests have run.
func RemoveOld() {
	if oldProgram.path != "" {
		_ = os.Remove(oldProgram.path)
	}
}
