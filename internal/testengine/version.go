package testengine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Versions maps each Docker release that can be run to the tree that holds it.
// scripts/engine-tree.sh makes the trees.
var Versions = map[string]string{
	"20.10": "bookworm",
	"28.5":  "sid",
	"29":    "moby29",
	// With Docker's own rules in nftables, which it puts into iptables unless it is told otherwise.
	"29" + nftablesBackend: "moby29",
}

// nftablesBackend ends the name of a release of Docker that is run with its
// nftables backend.
const nftablesBackend = "-nftables"

// ContainerdVersions is Versions for containerd by itself.
var ContainerdVersions = map[string]string{
	"1.6": "bookworm",
	"2.1": "sid",
}

// PodmanVersions is Versions for Podman: 4.3 with its CNI back end, 5.8 with
// netavark.
var PodmanVersions = map[string]string{
	"4.3": "bookworm",
	"5.8": "sid",
}

// FirewalldVersions is Versions for firewalld with its system bus.
var FirewalldVersions = map[string]string{
	"1.3": "firewalls",
	"2":   "firewalls-sid",
}

// SelectedFirewalld lists the versions of firewalld that tests run: those in
// MCPNET_FIREWALLD, separated by commas, or the one of the oldest Debian.
func SelectedFirewalld() []string {
	return strings.Split(orElse(os.Getenv("MCPNET_FIREWALLD"), "1.3"), ",")
}

// Selected lists the versions of Docker that tests run: those in MCPNET_ENGINES,
// separated by commas, or the two whose trees need no compiler.
func Selected() []string {
	return strings.Split(orElse(os.Getenv("MCPNET_ENGINES"), "20.10,28.5"), ",")
}

// Tree is the directory of the file tree with that version of Docker.
func Tree(version string) (string, error) {
	return release{"docker", version}.tree()
}

// release is one version of one kind of engine.
type release struct{ engine, version string }

func (r release) String() string { return r.engine + " " + r.version }

// kinds tells for each kind of engine where its versions are, and the program
// without which a tree is from before it had that engine.
var kinds = map[string]struct {
	trees   map[string]string
	program string
}{
	"docker":     {Versions, "usr/sbin/dockerd"},
	"containerd": {ContainerdVersions, "usr/bin/containerd"},
	"podman":     {PodmanVersions, "usr/bin/podman"},
	"firewalld":  {FirewalldVersions, "usr/sbin/firewalld"},
}

// tree is the directory of the file tree that holds the release.
func (r release) tree() (string, error) {
	kind := kinds[r.engine]
	name, ok := kind.trees[r.version]
	if !ok {
		return "", fmt.Errorf("no such version: have %v", slices.Sorted(maps.Keys(kind.trees)))
	}
	tree := filepath.Join(cacheDir(), name)
	if _, err := os.Stat(filepath.Join(tree, kind.program)); err != nil {
		return "", fmt.Errorf("%w: make the tree with scripts/engine-tree.sh %s", err, name)
	}
	return tree, nil
}

// cacheDir is where the scripts put what they build.
func cacheDir() string { return orElse(os.Getenv("MCPNET_CACHE"), "/var/cache/mcpnet") }

// need skips a test on a machine where the release cannot run; a program, and a
// test in continuous integration, fails instead.
func (r release) need(t T) {
	t.Helper()
	_, err := r.tree()
	if os.Geteuid() != 0 {
		err = errors.New("needs root")
	}
	skipOver(t, r.String(), err)
}

// skipOver skips the test, or fails it as need says, when there is an error.
func skipOver(t T, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if test, ok := t.(testing.TB); ok {
		testnet.Lacks(test, what, err.Error())
	}
	t.Fatalf("%s: %v", what, err)
}
