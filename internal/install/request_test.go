package install

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// The files of the engines.
const (
	dockerPath       = "/etc/docker/daemon.json"
	containerdPath   = "/etc/containerd/config.toml"
	containerdDropin = "/etc/containerd/conf.d/90-mcpnet.toml"
	crioPath         = "/etc/crio/crio.conf.d/90-mcpnet.conf"
	podmanPath       = "/etc/containers/containers.conf.d/90-mcpnet.conf"
	hooksDir         = "/usr/local/share/mcpnet/hooks.d"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file with its directories.
func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(content), mode))
	check(t, os.Chmod(path, mode))
}

// request is one for an empty tree, with programs that are no programs.
func request(t *testing.T, parts ...Part) Request {
	t.Helper()
	binaries := t.TempDir()
	write(t, filepath.Join(binaries, part.CNIProgram), "cni 1", 0o755)
	write(t, filepath.Join(binaries, part.PluginProgram), "plugin 1", 0o755)
	write(t, filepath.Join(binaries, part.RuntimeProgram), "runtime 1", 0o755)
	return Request{Root: t.TempDir(), Parts: parts, Binary: binaries}
}

// contents is everything below a directory: a file's mode and content, a directory's mode, a link's target.
func contents(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case d.Type() == fs.ModeSymlink:
			content, err = os.Readlink(path)
		case d.Type().IsRegular():
			var b []byte
			b, err = os.ReadFile(path)
			content = string(b)
		}
		all[strings.TrimPrefix(path, root)] = info.Mode().String() + " " + content
		return err
	}))
	return all
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

// verbsOf are the actions' verbs by path.
func verbsOf(r Result) map[string]Verb {
	out := map[string]Verb{}
	for _, a := range r.Actions {
		out[a.Path] = a.Verb
	}
	return out
}

func mustInstall(t *testing.T, r Request) Result {
	t.Helper()
	result, err := Install(r)
	check(t, err)
	return result
}

// runtimeRequest is one for a tree with these files and an engine.
func runtimeRequest(t *testing.T, files map[string]string, engines ...Engine) Request {
	t.Helper()
	r := request(t)
	r.Engines = engines
	for path, text := range files {
		write(t, filepath.Join(r.Root, path), text, 0o640)
	}
	return r
}

func read(t *testing.T, r Request, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.Root, path))
	check(t, err)
	return string(text)
}

func mustUninstall(t *testing.T, r Request) Result {
	t.Helper()
	result, err := Uninstall(r)
	check(t, err)
	return result
}

// actionAt is that of a path.
func actionAt(t *testing.T, r Result, path string) Action {
	t.Helper()
	i := slices.IndexFunc(r.Actions, func(a Action) bool { return a.Path == path })
	if i < 0 {
		t.Fatalf("no action for %s: %v", path, r.Actions)
	}
	return r.Actions[i]
}
