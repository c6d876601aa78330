package install

import (
	"debug/buildinfo"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// unit is the service's text.
//
//go:embed mcpnet.service
var unit []byte

// packages are what the programs are built from.
var packages = map[string]string{
	part.CNIProgram:     "github.com/mcpnet/mcpnet/cni",
	part.PluginProgram:  "github.com/mcpnet/mcpnet/plugin",
	part.RuntimeProgram: "github.com/mcpnet/mcpnet/hook",
}

// program is an executable that was found.
type program struct {
	path    string
	content []byte
}

// programs finds and reads those that parts need.
func (r Request) programs() (map[string]program, error) {
	found := map[string]program{}
	var failed error
	for _, name := range r.needed() {
		p, err := r.load(name)
		switch {
		case errors.As(err, &UsageError{}):
			return nil, err
		case err != nil && failed != nil:
			failed = fmt.Errorf("%w; %w", failed, err)
		case err != nil:
			failed = err
		}
		found[name] = p
	}
	return found, failed
}

func (r Request) load(name string) (program, error) {
	path, err := r.find(name)
	if err != nil {
		return program{}, err
	}
	if err := checkBuild(path, name); err != nil {
		return program{}, err
	}
	content, err := os.ReadFile(path)
	return program{path, content}, err
}

// needed names the programs of all parts.
func (r Request) needed() []string {
	var names []string
	for _, p := range r.programParts() {
		if !slices.Contains(names, p.Program()) {
			names = append(names, p.Program())
		}
	}
	return names
}

// find looks where the user says, or where `make build` and `make install-host` put programs.
func (r Request) find(name string) (string, error) {
	if r.Binary != "" {
		return r.named(name)
	}
	dir := filepath.Dir(r.Executable)
	candidates := []string{filepath.Join(dir, name), filepath.Join(filepath.Dir(dir), "libexec", "mcpnet", name)}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, checkExecutable(path, info)
		}
	}
	return "", fmt.Errorf("%s is neither at %s: build it with `make build`, or say where it is with --binary",
		name, strings.Join(candidates, " nor at "))
}

// named is what --binary means: the program, or a directory that holds it.
func (r Request) named(name string) (string, error) {
	path := r.Binary
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		path = filepath.Join(path, name)
		info, err = os.Stat(path)
	case err == nil && len(r.needed()) > 1:
		return "", UsageError{[]string{fmt.Sprintf("--binary %s is one file, and %s are needed: "+
			"name the directory that holds both", path, strings.Join(r.needed(), " and "))}}
	}
	if err != nil {
		return "", fmt.Errorf("--binary: %w; build %s with `make build`", err, name)
	}
	return path, checkExecutable(path, info)
}

func checkExecutable(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 || info.Size() == 0 {
		return fmt.Errorf("%s is not a program (%v, %d bytes): "+
			"build it with `make build`, or name another with --binary", path, info.Mode(), info.Size())
	}
	return nil
}

// checkBuild refuses the likely mistake, another program of mcpnet's under the plugin's name: engines would only show
// what it prints. What was not built by Go, or carries no record of it, is taken as it is.
func checkBuild(path, name string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil || info.Path == packages[name] || info.Path == "command-line-arguments" {
		return nil
	}
	return fmt.Errorf("%s is built from %s and not from %s: name %s with --binary",
		path, info.Path, packages[name], name)
}
