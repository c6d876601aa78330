package testengine

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Versions maps each Docker release that can be run to the tree that holds it.
// scripts/engine-tree.sh makes the trees.
var Versions = map[string]string{
	"20.10": "bookworm",
	"28.5":  "sid",
	"29":    "moby29",
}

// Selected lists the versions that tests run: those in MCPNET_ENGINES, separated
// by commas, or the two whose trees need no compiler.
func Selected() []string {
	return strings.Split(orElse(os.Getenv("MCPNET_ENGINES"), "20.10,28.5"), ",")
}

// needs skips a test on a machine where no engine can run; a program, and a test
// in continuous integration, fails instead.
func needs(t T, version string) {
	t.Helper()
	_, err := Tree(version)
	if os.Geteuid() != 0 {
		err = errors.New("needs root")
	}
	if err == nil {
		return
	}
	if skipper, ok := t.(interface{ Skipf(string, ...any) }); ok && os.Getenv("CI") == "" {
		skipper.Skipf("docker %s: %v", version, err)
	}
	t.Fatalf("docker %s: %v", version, err)
}

// Tree is the directory of the file tree with that version of Docker.
func Tree(version string) (string, error) {
	name, ok := Versions[version]
	if !ok {
		return "", fmt.Errorf("no such version: have %v", slices.Sorted(maps.Keys(Versions)))
	}
	tree := filepath.Join(orElse(os.Getenv("MCPNET_CACHE"), "/var/cache/mcpnet"), name)
	if _, err := os.Stat(filepath.Join(tree, "usr/sbin/dockerd")); err != nil {
		return "", fmt.Errorf("%w: make the tree with scripts/engine-tree.sh %s", err, name)
	}
	return tree, nil
}
