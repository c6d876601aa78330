package install

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/problem"
)

// Request is what the user asks for.
type Request struct {
	// Root is the tree to work on: "/", or that of an image.
	Root  string
	Parts []Part
	// Engines are those that the OCI runtime is registered with. SetDefault makes it their default runtime, for
	// containers on mcpnet networks; Hooks adds Podman's hooks.
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
	problems = append(problems, r.checkDir()...)
	if r.Root == "" {
		problems = append(problems, "--root is empty: leave it out to work on this host")
	}
	if len(problems) > 0 {
		return UsageError{problems}
	}
	return nil
}

func (r Request) checkDir() (problems []string) {
	if r.Dir == "" {
		return nil
	}
	if slices.Contains(r.Parts, CNI) == slices.Contains(r.Parts, Netavark) {
		problems = append(problems, fmt.Sprintf(
			"--dir %s goes with one of --cni and --netavark: run it once for each", r.Dir))
	}
	if !filepath.IsAbs(r.Dir) {
		problems = append(problems, fmt.Sprintf("--dir %s is not an absolute path", r.Dir))
	}
	return problems
}

func (r Request) checkEngines() (problems []string) {
	for _, e := range r.Engines {
		if !slices.Contains(Engines, e) {
			problems = append(problems, fmt.Sprintf("--runtime %q is no engine: accepted are %s%s",
				e, strings.Join(part.EngineNames(), ", "), meant(e)))
		}
	}
	if r.SetDefault && len(r.Engines) == 0 {
		problems = append(problems, "--set-default goes with --runtime: say of which engine")
	}
	if r.Hooks && !slices.Contains(r.Engines, part.Podman) {
		problems = append(problems, "--hooks goes with --runtime podman: no other engine has the stage precreate")
	}
	return problems
}

// meant guesses which engine a word means.
func meant(e Engine) string {
	if near := problem.Nearest(string(e), part.EngineNames()); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// needRoot says early what every single write would say.
func needRoot(root string, euid int) error {
	if root != "/" || euid == 0 {
		return nil
	}
	return errors.New("changing this host needs root: " +
		"run this with sudo, look with --dry-run, or name a tree with --root")
}

// programParts are the parts that have a program.
func (r Request) programParts() []Part {
	if len(r.Engines) == 0 {
		return r.Parts
	}
	return append(slices.Clone(r.Parts), part.Runtime)
}
