package install

import (
	"path/filepath"
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// pluginName is what the CNI and the netavark plugin are called. Conflists and `podman network create -d` name it.
const pluginName = "mcpnet"

// netavarkDirs are those of containers.conf (netavark_plugin_dirs), in the order in which Podman looks.
var netavarkDirs = []string{
	"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark", "/usr/lib/netavark",
}

// places are the directories of this host that plugins go to.
type places struct{ cni, netavark []place }

// cniPlaces are the directories of CNI plugins that tools of this host read.
func cniPlaces(t tree.Tree, m manifest.Manifest) ([]place, error) {
	found, err := findCNI(t)
	return distinct(t, append(found, installedPlaces(t, m, CNI)...)), err
}

// netavarkPlaces are the first directory of netavark's that is there.
func netavarkPlaces(t tree.Tree, m manifest.Manifest) (found []place) {
	if i := slices.IndexFunc(netavarkDirs, t.Exists); i >= 0 {
		found = []place{{netavarkDirs[i], "it is there"}}
	}
	return distinct(t, append(found, installedPlaces(t, m, Netavark)...))
}

// installedPlaces are where mcpnet's plugin is already, so that no older version stays behind.
func installedPlaces(t tree.Tree, m manifest.Manifest, of Part) (found []place) {
	for _, r := range m.Files {
		if r.Part == of && t.Exists(r.Path) {
			found = append(found, place{filepath.Dir(r.Path), "mcpnet is there"})
		}
	}
	return found
}

// of says where a part's plugin goes: to those in use, or to the usual one.
func (p places) of(of Part) []place {
	switch dirs := map[Part][]place{CNI: p.cni, Netavark: p.netavark}[of]; {
	case len(dirs) > 0:
		return dirs
	case of == CNI:
		return []place{{opt, "no tool and no directory of CNI plugins is there: it is the usual one"}}
	}
	return []place{{netavarkDirs[0], "no directory of netavark's is there: it is the first that Podman reads"}}
}
