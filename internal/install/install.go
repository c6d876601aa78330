// Package install puts mcpnet's files where container engines and systemd look for them, and takes them away again.
//
// It looks at the host, plans actions, which are values that print themselves, and applies all of them or none. A
// manifest records what was installed, so that a file that somebody else made or changed is neither overwritten nor
// removed.
//
// Its parts: package part names what is installed, config edits texts, manifest is the record, action decides, tree
// looks at a host and changes it, register and daemon know the engines' configuration. This package joins them.
package install

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/install/register"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// Result is what was done, or would be.
type Result struct {
	Root    string   `json:"root"`
	DryRun  bool     `json:"dryRun"`
	Actions []Action `json:"actions"`
	// Next are the commands that remain for the user.
	Next []string `json:"next,omitempty"`
}

// Complete says that nothing was left that should be gone.
func (r Result) Complete() bool {
	return !slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb == action.Leave })
}

// Unchanged says that everything is as it should be already.
func (r Result) Unchanged() bool {
	return len(r.Actions) > 0 &&
		!slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb != action.Unchanged })
}

// Install puts the files of the parts in place.
func Install(r Request) (Result, error) {
	return r.run(r.planInstall, installed)
}

// Uninstall removes files of the parts, of all where none is named.
func Uninstall(r Request) (Result, error) {
	if len(r.Parts)+len(r.Engines) == 0 {
		r.Parts, r.Engines = Parts, Engines
	}
	return r.run(r.planUninstall, uninstalled)
}

type (
	planner   func(tree.Tree, manifest.Manifest) ([]Action, error)
	nextSteps func(root string, actions []Action) []string
)

func (r Request) run(plan planner, next nextSteps) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, err
	}
	t, err := tree.Open(r.Root)
	if err != nil {
		return Result{}, err
	}
	if !r.DryRun {
		if err := needRoot(t.Root(), os.Geteuid()); err != nil {
			return Result{}, err
		}
		unlock, err := t.Lock()
		if err != nil {
			return Result{}, err
		}
		defer unlock()
	}
	m, err := t.Manifest()
	if err != nil {
		return Result{}, err
	}
	actions, err := plan(t, m)
	if err == nil && !r.DryRun {
		err = t.Apply(actions)
	}
	if err != nil {
		return Result{}, err
	}
	return Result{t.Root(), r.DryRun, append([]Action{}, actions...), next(t.Root(), actions)}, nil
}

func (r Request) planInstall(t tree.Tree, m manifest.Manifest) ([]Action, error) {
	programs, err := r.programs()
	if err != nil {
		return nil, err
	}
	engines := register.Request{Engines: r.Engines, Default: r.SetDefault, Hooks: r.Hooks, Force: r.Force}
	w, err := engines.Wants(t, m)
	if err != nil {
		return nil, err
	}
	places, err := r.places(t, m)
	if err != nil {
		return nil, err
	}
	w.Files = append(r.files(places, programs), w.Files...)
	for i, f := range w.Files {
		w.Files[i].InPlace = sameFile(f.Source, t.At(f.Path))
	}
	v, err := t.Look(w.Paths(), m)
	if err != nil {
		return nil, err
	}
	return action.ForInstall(w, v, m, r.Force)
}

// files are the programs of all parts, and the service's unit.
func (r Request) files(p places, programs map[string]program) []action.File {
	var files []action.File
	for _, of := range r.programParts() {
		found := programs[of.Program()]
		for _, at := range programPlaces(of, p) {
			f := action.File{Part: of, Path: at.path, Why: at.why, Mode: 0o755, Source: found.path, Content: found.content}
			files = append(files, f)
		}
		if of == Service {
			f := action.File{Part: of, Path: part.UnitPath, Mode: 0o644, Source: "mcpnet itself", Content: unit}
			files = append(files, f)
		}
	}
	return files
}

// places are the directories for plugins: the one that the user gave, or those that are found.
func (r Request) places(t tree.Tree, m manifest.Manifest) (places, error) {
	if r.Dir != "" {
		given := []place{{r.Dir, ""}}
		return places{given, given}, nil
	}
	var p places
	var err error
	if slices.Contains(r.Parts, CNI) {
		p.cni, err = cniPlaces(t, m)
	}
	if slices.Contains(r.Parts, Netavark) {
		p.netavark = netavarkPlaces(t, m)
	}
	return p, err
}

// target is where a program goes, and why there.
type target struct{ path, why string }

func programPlaces(of Part, p places) (out []target) {
	switch of {
	case part.Service:
		return []target{{path: part.ServicePath}}
	case part.Runtime:
		return []target{{path: part.RuntimePath}, {path: part.DefaultPath}}
	}
	for _, at := range p.of(of) {
		out = append(out, target{filepath.Join(at.dir, pluginName), at.why})
	}
	return out
}

func sameFile(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Lstat(b) // a symbolic link to the source is not the source
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

func (r Request) planUninstall(t tree.Tree, m manifest.Manifest) ([]Action, error) {
	v, err := t.Look(m.Paths(), m)
	if err != nil {
		return nil, err
	}
	parts := append(slices.Clone(r.Parts), part.OfEngines(r.Engines)...)
	return action.ForUninstall(parts, v, m, register.Editors)
}
