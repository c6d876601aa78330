// Package part names what mcpnet installs: the parts, the engines that run its OCI runtime, and the programs and files
// whose places are the same on every host.
package part

import "slices"

// Part is what can be installed by itself.
type Part string

// The parts. Runtime is the program of the OCI runtime, which comes with the parts of the engines.
const (
	CNI      Part = "cni"
	Netavark Part = "netavark"
	Service  Part = "service"
	Runtime  Part = "runtime"
)

// Chosen lists the parts that a user chooses by name, in the order of their installation.
var Chosen = []Part{CNI, Netavark, Service}

// All lists every part.
func All() []Part { return append(slices.Clone(Chosen), OfEngines(Engines)...) }

// OfEngines lists the parts that engines need, the program first.
func OfEngines(engines []Engine) []Part {
	if len(engines) == 0 {
		return nil
	}
	parts := []Part{Runtime}
	for _, e := range engines {
		parts = append(parts, e.Part())
	}
	return parts
}

// The programs of the parts, under the names that `make build` gives them.
const (
	CNIProgram     = "mcpnet-cni"
	PluginProgram  = "mcpnet-plugin"
	RuntimeProgram = "mcpnet-runtime"
)

// Program is the one that a part needs.
func (p Part) Program() string {
	switch p {
	case Service:
		return PluginProgram
	case Runtime:
		return RuntimeProgram
	}
	return CNIProgram
}

// The files of the service.
const (
	// ServicePath is the ExecStart of mcpnet.service.
	ServicePath = "/usr/local/libexec/mcpnet/" + PluginProgram
	UnitPath    = "/etc/systemd/system/mcpnet.service"
)

// EnabledPaths are the links that `systemctl enable mcpnet` makes.
var EnabledPaths = []string{
	"/etc/systemd/system/multi-user.target.wants/mcpnet.service",
	"/etc/systemd/system/nftables.service.wants/mcpnet.service",
}
