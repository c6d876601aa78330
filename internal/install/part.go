package install

import (
	"path/filepath"
	"slices"
)

// Part is what can be installed by itself.
type Part string

// The parts.
const (
	CNI      Part = "cni"
	Netavark Part = "netavark"
	Service  Part = "service"
)

// Runtime is the program of the OCI runtime, which goes with the parts of engines.
const Runtime Part = "runtime"

// Parts lists those that are chosen by themselves in the order of their installation.
var Parts = []Part{CNI, Netavark, Service}

// allParts adds those of the OCI runtime.
func allParts() []Part { return append(slices.Clone(Parts), runtimeParts(Engines)...) }

// runtimeParts are what engines need, the program first.
func runtimeParts(engines []Engine) []Part {
	if len(engines) == 0 {
		return nil
	}
	parts := []Part{Runtime}
	for _, e := range engines {
		parts = append(parts, e.part())
	}
	return parts
}

// Programs that parts consist of, under the names that `make build` gives them.
const (
	cniProgram     = "mcpnet-cni"
	pluginProgram  = "mcpnet-plugin"
	runtimeProgram = "mcpnet-runtime"
)

// program is the one that a part needs.
func (p Part) program() string {
	switch p {
	case Service:
		return pluginProgram
	case Runtime:
		return runtimeProgram
	}
	return cniProgram
}

const (
	// pluginName is what the CNI and the netavark plugin are called: conflists and `podman network create -d` name it.
	pluginName = "mcpnet"
	// servicePath is the ExecStart of mcpnet.service.
	servicePath = "/usr/local/libexec/mcpnet/" + pluginProgram
	unitPath    = "/etc/systemd/system/mcpnet.service"
)

// enabledPaths are the links that `systemctl enable mcpnet` makes.
var enabledPaths = []string{
	"/etc/systemd/system/multi-user.target.wants/mcpnet.service",
	"/etc/systemd/system/nftables.service.wants/mcpnet.service",
}

var (
	// cniDirs are where engines look for CNI plugins: upstream's directory, Fedora's and Debian's. One that holds one of
	// the reference plugins is in use.
	cniDirs          = []string{"/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"}
	referencePlugins = []string{"bridge", "host-local", "loopback"}
	// netavarkDirs are those of containers.conf (netavark_plugin_dirs), in the order in which Podman looks.
	netavarkDirs = []string{"/usr/local/libexec/netavark", "/usr/libexec/netavark", "/usr/local/lib/netavark", "/usr/lib/netavark"}
)

// places are the directories of this host that plugins go to.
type places struct{ cni, netavark []string }

// paths says where a part's plugin goes: to the directory that the user gave, to those in use, or to the usual one.
func (p places) paths(part Part, dir string) []string {
	dirs := map[Part][]string{CNI: p.cni, Netavark: p.netavark}[part]
	switch {
	case dir != "":
		dirs = []string{dir}
	case len(dirs) == 0 && part == CNI:
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
