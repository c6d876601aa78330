package install

import (
	"path/filepath"
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// pluginName is what the CNI and the netavark plugin are called. Conflists and `podman network create -d` name it.
const pluginName = "mcpnet"

var (
	// cniDirs are where engines look for CNI plugins: upstream's directory, Fedora's and Debian's. A directory that
	// holds one of the reference plugins is in use.
	cniDirs          = []string{"/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"}
	referencePlugins = []string{"bridge", "host-local", "loopback"}
	// netavarkDirs are those of containers.conf (netavark_plugin_dirs), in the order in which Podman looks.
	netavarkDirs = []string{
		"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark", "/usr/lib/netavark",
	}
)

// places are the directories of this host that plugins go to.
type places struct{ cni, netavark []string }

// findPlaces finds the directories in use, and those where mcpnet is already, so that no older version stays behind.
func findPlaces(t tree.Tree, m manifest.Manifest) places {
	var p places
	for _, dir := range cniDirs {
		there := func(plugin string) bool { return t.Exists(filepath.Join(dir, plugin)) }
		if slices.ContainsFunc(referencePlugins, there) {
			p.cni = append(p.cni, dir)
		}
	}
	if i := slices.IndexFunc(netavarkDirs, t.Exists); i >= 0 {
		p.netavark = append(p.netavark, netavarkDirs[i])
	}
	for _, r := range m.Files {
		switch dir := filepath.Dir(r.Path); {
		case !t.Exists(r.Path):
		case r.Part == CNI:
			p.cni = append(p.cni, dir)
		case r.Part == Netavark:
			p.netavark = append(p.netavark, dir)
		}
	}
	return places{t.Distinct(p.cni), t.Distinct(p.netavark)}
}

// paths says where a part's plugin goes: to the directory that the user gave, to those in use, or to the usual one.
func (p places) paths(of Part, dir string) []string {
	dirs := map[Part][]string{CNI: p.cni, Netavark: p.netavark}[of]
	switch {
	case dir != "":
		dirs = []string{dir}
	case len(dirs) == 0 && of == CNI:
		dirs = cniDirs[:1]
	case len(dirs) == 0:
		dirs = netavarkDirs[:1]
	}
	var paths []string
	for _, d := range dirs {
		paths = append(paths, filepath.Join(d, pluginName))
	}
	return paths
}
