package part

import "slices"

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

// Edited lists the engines whose configuration file mcpnet edits. The others read a file of mcpnet's own.
var Edited = []Engine{Docker, Containerd}

// EngineNames lists the names of the engines.
func EngineNames() (names []string) {
	for _, e := range Engines {
		names = append(names, string(e))
	}
	return names
}

// Part is what is installed for this engine only.
func (e Engine) Part() Part { return Part("runtime-" + e) }

// EngineOf is the engine that a part belongs to, if it belongs to one.
func EngineOf(p Part) (Engine, bool) {
	i := slices.IndexFunc(Engines, func(e Engine) bool { return e.Part() == p })
	if i < 0 {
		return "", false
	}
	return Engines[i], true
}

// Options are what the user chose for an engine. They hold until uninstalling: a plain `mcpnet install`, which brings
// programs up to date, does not take the default runtime away.
type Options struct {
	Default bool `json:"default,omitempty"`
	Hooks   bool `json:"hooks,omitempty"`
}

// Or has every option that is chosen in one of the two.
func (o Options) Or(other Options) Options {
	return Options{o.Default || other.Default, o.Hooks || other.Hooks}
}
