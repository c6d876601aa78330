package testengine

import (
	"fmt"
	"os"
	"path/filepath"
)

// CNIBin is where containerd and Podman look for CNI plugins first.
const CNIBin = "/opt/cni/bin"

// CNITools is the directory of what scripts/cni-tools.sh made: the reference CNI
// plugins and cnitool. Without it the test is skipped as it is without an engine.
func CNITools(t T) string {
	t.Helper()
	dir, err := cniTools()
	skipOver(t, "CNI tools", err)
	return dir
}

func cniTools() (string, error) {
	dir := filepath.Join(cacheDir(), "cni-1.9.1")
	if _, err := os.Stat(filepath.Join(dir, "cri.proto")); err != nil {
		return "", fmt.Errorf("%w: make it with scripts/cni-tools.sh", err)
	}
	return dir, nil
}

// ReferencePlugins are reference CNI plugins as Programs of a Host, such as
// "bridge" and "host-local", in CNIBin.
func ReferencePlugins(t T, names ...string) map[string]string {
	t.Helper()
	dir := CNITools(t)
	programs := map[string]string{}
	for _, name := range names {
		programs[filepath.Join(CNIBin, name)] = filepath.Join(dir, name)
	}
	return programs
}
