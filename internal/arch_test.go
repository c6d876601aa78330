package internal_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mcpnet/mcpnet/"

var (
	pure = []string{"internal/problem", "internal/policy", "internal/topology", "internal/firewall", "internal/plan",
		"internal/admission", "internal/surface", "internal/request", "internal/report", "internal/strictjson", "internal/printed",
		"internal/install/part",
		"internal/install/config", "internal/install/manifest", "internal/install/action", "internal/install/daemon",
		"internal/router/dnsmsg", "internal/router/hello", "internal/router/roster"}
	edges = []string{"internal/firewall/nft", "internal/firewall/iptables", "internal/firewalld", "internal/link", "internal/store",
		"internal/docker", "internal/hostport", "internal/ipam", "internal/install", "internal/oci", "internal/attest", "internal/procfs",
		"internal/router", "internal/router/filter", "internal/router/relay"}
	// joins are who asks edges beside internal/core, and which. The core works on the kernel, its fronts on the store;
	// entry points and collectors of evidence ask engines. The hook does without the core: it runs some ten times for
	// each container, and only reads what fronts wrote.
	joins = map[string][]string{
		"internal/space":          {"internal/link", "internal/firewall/nft"},
		"internal/core":           {"internal/firewall/iptables", "internal/firewalld", "internal/hostport"},
		"internal/router":         {"internal/router/relay"},
		"internal/router/process": {"internal/router/filter", "internal/router/relay"},
		"internal/resident":       {"internal/store", "internal/router"}, "internal/percall": {"internal/store"},
		"plugin": {"internal/docker", "internal/attest", "internal/router"}, "cni": {"internal/ipam", "internal/attest"},
		"cmd/mcpnet": {"internal/install"}, "hook": {"internal/oci", "internal/attest", "internal/store", "internal/link",
			"internal/procfs"},
		"internal/evidence": {"internal/docker", "internal/attest", "internal/procfs"},
	}

	// leaves are what edges share. They know nothing of mcpnet.
	leaves = []string{"internal/atomicfile", "internal/ns"}

	// impure is what a package without effects has no use for.
	impure = []string{"os", "os/exec", "os/signal", "net/http", "net/rpc", "log", "log/slog", "syscall", "time", "math/rand", "math/rand/v2",
		"crypto/rand", "golang.org/x/sys/unix", "github.com/vishvananda/netlink", "github.com/vishvananda/netns"}
	// addresses are what of package net has no effect.
	addresses = []string{"HardwareAddr", "ParseMAC"}
)

// pkg is a package as `go list -json` shows it.
type pkg struct {
	ImportPath, Dir string
	GoFiles         []string
	Imports         []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages lists the module without its tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestPurePackages(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		if !slices.Contains(pure, p.name()) {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); slices.Contains(impure, i) || (ok && !slices.Contains(pure, own)) {
				t.Errorf("%s is pure, but imports %s", p.name(), i)
			}
		}
		if slices.Contains(p.Imports, "net") {
			checkNet(t, p)
		}
	}
	if seen != len(pure) {
		t.Errorf("found %d of the pure packages %v", seen, pure)
	}
}

// checkNet lets a pure package speak of hardware addresses, and of nothing else in package net.
func checkNet(t *testing.T, p pkg) {
	for _, file := range p.GoFiles {
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "net" && !slices.Contains(addresses, s.Sel.Name) {
					t.Errorf("%s/%s is pure, but uses net.%s", p.name(), file, s.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestEdges: edges do not know each other, and who joins them is written down. What only tests import may do as it
// likes.
func TestEdges(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.name(), "internal/test") || strings.HasPrefix(p.name(), "test/") {
			continue
		}
		for _, i := range p.Imports {
			edge := strings.TrimPrefix(i, module)
			if !slices.Contains(edges, edge) || slices.Contains(joins[p.name()], edge) {
				continue
			}
			t.Errorf("%s imports %s: it is none of those that join this edge", p.name(), edge)
		}
	}
}

// TestLeaves: what edges share imports nothing of the module, so that edges do not know each other through it.
func TestLeaves(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range p.Imports {
			if slices.Contains(leaves, p.name()) && strings.HasPrefix(i, module) {
				t.Errorf("%s is a leaf, but imports %s", p.name(), i)
			}
		}
	}
}

// installArrows are what the parts of internal/install import of each other. They point in one direction.
var installArrows = map[string][]string{
	"internal/install/part":     {},
	"internal/install/config":   {},
	"internal/install/manifest": {"part"},
	"internal/install/action":   {"part", "manifest"},
	"internal/install/tree":     {"part", "manifest", "action"},
	"internal/install/daemon":   {"part", "manifest", "config"},
	"internal/install/register": {"part", "manifest", "action", "tree", "config", "daemon"},
	"internal/install":          {"part", "manifest", "action", "tree", "config", "register"},
}

// TestInstall: the parts of internal/install keep to their arrows, and nothing else imports the inner ones.
func TestInstall(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		arrows, is := installArrows[p.name()]
		if is {
			seen++
		}
		for _, i := range p.Imports {
			inner, ok := strings.CutPrefix(i, module+"internal/install/")
			if ok && !slices.Contains(arrows, inner) {
				t.Errorf("%s imports internal/install/%s", p.name(), inner)
			}
		}
	}
	if seen != len(installArrows) {
		t.Errorf("found %d of the parts of internal/install, not %d", seen, len(installArrows))
	}
}

// parserArrows are what the packages that read untrusted messages import of the module. They run without privilege, and
// neither know the policy nor reach a store.
var parserArrows = map[string][]string{
	"internal/router/dnsmsg": {},
	"internal/router/filter": {"internal/router/dnsmsg"},
}

// TestParsers: what reads untrusted messages keeps to its arrows.
func TestParsers(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		arrows, is := parserArrows[p.name()]
		if !is {
			continue
		}
		seen++
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module); ok && !slices.Contains(arrows, own) {
				t.Errorf("%s imports %s", p.name(), own)
			}
		}
	}
	if seen != len(parserArrows) {
		t.Errorf("found %d of the parsers, not %d", seen, len(parserArrows))
	}
}

// TestFronts: data flows one way, from entry points over a front to the core.
func TestFronts(t *testing.T) {
	users := map[string][]string{"internal/resident": {"plugin"}, "internal/percall": {"plugin", "cni", "internal/operator"},
		"internal/space": {"internal/core"}, "internal/core": {"internal/resident", "internal/percall", "internal/evidence", "cni"}}
	for _, p := range packages(t) {
		if strings.HasPrefix(p.name(), "internal/test") || strings.HasPrefix(p.name(), "test/") {
			continue
		}
		for _, i := range p.Imports {
			used := strings.TrimPrefix(i, module)
			if who, known := users[used]; known && !slices.Contains(who, p.name()) {
				t.Errorf("%s imports %s: only %v do", p.name(), used, who)
			}
		}
	}
}

// TestTestPackages: nothing that is shipped imports what is there for tests.
func TestTestPackages(t *testing.T) {
	helpers := []string{"internal/testnet", "internal/testengine", "internal/testcni", "internal/golden", "internal/frame"}
	for _, p := range packages(t) {
		if strings.HasPrefix(p.name(), "internal/test") || strings.HasPrefix(p.name(), "test/") {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(helpers, strings.TrimPrefix(i, module)) {
				t.Errorf("%s imports %s, which is for tests", p.name(), i)
			}
		}
	}
}
