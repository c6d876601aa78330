// Package install puts mcpnet's files where container engines and systemd look for them, and takes them away again.
//
// It looks at the host, plans actions, which are values that print themselves, and applies all of them or none. A
// manifest records what was installed, so that a file that somebody else made or changed is neither overwritten nor
// removed.
package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Request is what the user asks for.
type Request struct {
	// Root is the tree to work on: "/", or that of an image.
	Root  string
	Parts []Part
	// Engines are those that the OCI runtime is registered with. SetDefault makes it their default runtime, for containers on
	// mcpnet networks; Hooks adds Podman's hooks.
	Engines           []Engine
	SetDefault, Hooks bool
	// Dir is where the plugin of CNI or netavark goes instead of the directories in use.
	Dir string
	// Binary is a program, or the directory of programs; empty: beside Executable, the command that runs.
	Binary, Executable string
	// Force overwrites files that are not as mcpnet made them.
	Force  bool
	DryRun bool
}

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
	return !slices.ContainsFunc(r.Actions, func(a Action) bool { return a.Verb == Leave })
}

// UsageError is a request that makes no sense, with every reason.
type UsageError struct{ Problems []string }

func (u UsageError) Error() string { return strings.Join(u.Problems, "; ") }

// check finds what is wrong with a request before anything is looked at.
func (r Request) check() error {
	var problems []string
	if len(r.Parts)+len(r.Engines) == 0 {
		problems = append(problems, "say what: --cni, --netavark, --service, --runtime or several of them")
	}
	problems = append(problems, r.checkEngines()...)
	if r.Dir != "" && slices.Contains(r.Parts, CNI) == slices.Contains(r.Parts, Netavark) {
		problems = append(problems, fmt.Sprintf("--dir %s goes with one of --cni and --netavark: run it once for each", r.Dir))
	}
	if r.Dir != "" && !filepath.IsAbs(r.Dir) {
		problems = append(problems, fmt.Sprintf("--dir %s is not an absolute path", r.Dir))
	}
	if r.Root == "" {
		problems = append(problems, "--root is empty: leave it out to work on this host")
	}
	if len(problems) > 0 {
		return UsageError{problems}
	}
	return nil
}

func (r Request) checkEngines() (problems []string) {
	for _, e := range r.Engines {
		if !slices.Contains(Engines, e) {
			problems = append(problems, fmt.Sprintf("--runtime %q is no engine: accepted are %s%s", e, strings.Join(engineNames(), ", "), meant(e)))
		}
	}
	if r.SetDefault && len(r.Engines) == 0 {
		problems = append(problems, "--set-default goes with --runtime: say of which engine")
	}
	if r.Hooks && !slices.Contains(r.Engines, Podman) {
		problems = append(problems, "--hooks goes with --runtime podman: no other engine has the stage precreate")
	}
	return problems
}

// needRoot says early what every single write would say.
func needRoot(root string, euid int) error {
	if root != "/" || euid == 0 {
		return nil
	}
	return errors.New("changing this host needs root: run this with sudo, look with --dry-run, or name a tree with --root")
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

func (r Request) run(plan func(host, manifest) ([]Action, error), next func(string, []Action) []string) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, err
	}
	h, err := openHost(r.Root)
	if err != nil {
		return Result{}, err
	}
	if !r.DryRun {
		if err := needRoot(h.root, os.Geteuid()); err != nil {
			return Result{}, err
		}
		unlock, err := h.lock()
		if err != nil {
			return Result{}, err
		}
		defer unlock()
	}
	m, err := h.manifest()
	if err != nil {
		return Result{}, err
	}
	actions, err := plan(h, m)
	if err == nil && !r.DryRun {
		err = h.apply(actions)
	}
	if err != nil {
		return Result{}, err
	}
	return Result{h.root, r.DryRun, append([]Action{}, actions...), next(h.root, actions)}, nil
}

func (r Request) planInstall(h host, m manifest) ([]Action, error) {
	programs, err := r.programs()
	if err != nil {
		return nil, err
	}
	w, err := r.registrations(h, m)
	if err != nil {
		return nil, err
	}
	w.files = append(r.files(h.places(m), programs), w.files...)
	for i, f := range w.files {
		w.files[i].inPlace = sameFile(f.source, h.at(f.path))
	}
	v, err := h.look(w.paths(), m)
	if err != nil {
		return nil, err
	}
	return planInstall(w, v, m, r.Force)
}

// programParts are the parts that have a program.
func (r Request) programParts() []Part {
	if len(r.Engines) == 0 {
		return r.Parts
	}
	return append(slices.Clone(r.Parts), Runtime)
}

// files is everything that should be there.
func (r Request) files(p places, programs map[string]program) []file {
	var files []file
	for _, part := range r.programParts() {
		found := programs[part.program()]
		executable := file{part: part, path: servicePath, mode: 0o755, source: found.path, content: found.content}
		if part == Service {
			files = append(files, executable, file{part: part, path: unitPath, mode: 0o644, source: "mcpnet itself", content: unit})
			continue
		}
		paths := []string{runtimePath, defaultPath}
		if part != Runtime {
			paths = p.paths(part, r.Dir)
		}
		for _, path := range paths {
			executable.path = path
			files = append(files, executable)
		}
	}
	return files
}

func sameFile(a, b string) bool {
	one, err1 := os.Stat(a)
	other, err2 := os.Lstat(b) // a symbolic link to the source is not the source
	return err1 == nil && err2 == nil && os.SameFile(one, other)
}

func (r Request) planUninstall(h host, m manifest) ([]Action, error) {
	var paths []string
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	for _, e := range m.Edits {
		paths = append(paths, e.Path)
	}
	v, err := h.look(paths, m)
	if err != nil {
		return nil, err
	}
	return planUninstall(append(slices.Clone(r.Parts), runtimeParts(r.Engines)...), v, m)
}
