package install

import (
	"slices"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// Engine is a container engine that the OCI runtime is registered with.
type Engine string

// The engines.
const (
	Docker     Engine = "docker"
	Containerd Engine = "containerd"
	CRIO       Engine = "crio"
	Podman     Engine = "podman"
)

// Engines lists them in the order of their installation.
var Engines = []Engine{Docker, Containerd, CRIO, Podman}

func engineNames() (names []string) {
	for _, e := range Engines {
		names = append(names, string(e))
	}
	return names
}

// meant guesses the engine that a word stands for.
func meant(e Engine) string {
	if near, ok := policy.Nearest(string(e), engineNames()); ok {
		return "; did you mean " + near + "?"
	}
	return ""
}

// part is what of the installation is the engine's alone.
func (e Engine) part() Part { return Part("runtime-" + e) }

// engineOf is the engine that a part belongs to, or none.
func engineOf(p Part) (Engine, bool) {
	i := slices.IndexFunc(Engines, func(e Engine) bool { return e.part() == p })
	if i < 0 {
		return "", false
	}
	return Engines[i], true
}

// The names under which engines know the runtime. The second acts only on containers that are on mcpnet networks, so that
// it can be an engine's default. A name of its own tells it so, and no argument does: Docker makes an unquoted shell script
// of a runtime's arguments, and containerd has none.
const (
	runtimeName = "mcpnet"
	defaultName = "mcpnet-default"
)

// Where the program goes, under both names.
const (
	runtimePath = "/usr/local/libexec/mcpnet/mcpnet-runtime"
	defaultPath = runtimePath + "-default"
)

// runtimePaths are the programs by the names of the runtimes.
var runtimePaths = map[string]string{runtimeName: runtimePath, defaultName: defaultPath}

// runtimeNames are the runtimes in the order in which configurations list them.
var runtimeNames = []string{runtimeName, defaultName}

// isOurs tells whether a runtime of this name goes with mcpnet's part of a configuration.
func isOurs(name string) bool { return slices.Contains(runtimeNames, name) }

// options are what the user chose for an engine. They hold until uninstalling: bringing programs up to date with a plain
// `mcpnet install` does not take the default runtime away.
type options struct {
	Default bool `json:"default,omitempty"`
	Hooks   bool `json:"hooks,omitempty"`
}

func (o options) or(other options) options {
	return options{o.Default || other.Default, o.Hooks || other.Hooks}
}
