// Package register says what registers the OCI runtime with container engines: mcpnet's part of Docker's daemon.json
// (package daemon) and of containerd's config.toml, and files of mcpnet's own for CRI-O and Podman. It reads an
// engine's settings where they decide what has to be written. Writing is the caller's.
package register

import (
	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/daemon"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// Request says with which engines the runtime is registered, and how.
type Request struct {
	Engines []part.Engine
	// Default makes it their default runtime, for containers on mcpnet networks. Hooks adds Podman's hooks.
	Default, Hooks bool
	// Force replaces a runtime of mcpnet's name that is another's.
	Force bool
}

// Editors take mcpnet's part out of configuration files that are not its own.
var Editors = map[part.Part]action.Editor{part.Docker.Part(): daemon.Editor{}, part.Containerd.Part(): blockEditor{}}

// Wants are the engines' files and changes. Options that were chosen before hold.
func (r Request) Wants(t tree.Tree, m manifest.Manifest) (action.Wants, error) {
	w := action.Wants{Options: map[part.Part]part.Options{}}
	for _, e := range r.Engines {
		o := part.Options{Default: r.Default, Hooks: r.Hooks && e == part.Podman}.Or(m.Options[e.Part()])
		w.Options[e.Part()] = o
		of, err := r.wants(e, t, m, o)
		if err != nil {
			return w, err
		}
		w.Add(of)
	}
	return w, nil
}

// wants are the files and changes of one engine.
func (r Request) wants(e part.Engine, t tree.Tree, m manifest.Manifest, o part.Options) (action.Wants, error) {
	switch e {
	case part.Docker:
		editor := daemon.Editor{SetDefault: r.Default, Force: r.Force}
		return action.Wants{Changes: []action.Change{{Part: e.Part(), Path: daemon.Path, Editor: editor}}}, nil
	case part.Containerd:
		return containerdWants(t, m, o)
	case part.CRIO:
		return action.Wants{Files: crioFiles(o)}, nil
	}
	return podmanWants(t, o)
}
