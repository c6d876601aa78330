package install

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// TestSources: `make build` puts programs beside the command, `make install-host` below its prefix.
func TestSources(t *testing.T) {
	prefix := t.TempDir()
	r := Request{Parts: Parts, Executable: filepath.Join(prefix, "bin/mcpnet")}
	libexec := filepath.Join(prefix, "libexec/mcpnet/mcpnet-cni")
	if _, err := r.find(part.CNIProgram); err == nil || !strings.Contains(err.Error(), libexec) || !strings.Contains(err.Error(), "--binary") {
		t.Errorf("none: %v", err)
	}
	if _, err := r.programs(); err == nil || !strings.Contains(err.Error(), part.CNIProgram) || !strings.Contains(err.Error(), part.PluginProgram) {
		t.Errorf("not everything at once: %v", err)
	}
	beside := filepath.Join(prefix, "bin/mcpnet-cni")
	for _, path := range []string{libexec, beside} {
		write(t, path, "x", 0o755)
		if got, err := r.find(part.CNIProgram); err != nil || got != path {
			t.Errorf("%s, want %s: %v", got, path, err)
		}
	}
}

func TestBinary(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, part.CNIProgram)
	write(t, program, "x", 0o755)
	write(t, filepath.Join(dir, "text"), "x", 0o644)
	write(t, filepath.Join(dir, "empty"), "", 0o755)
	self, err := os.Executable()
	check(t, err)
	for name, c := range map[string]struct {
		binary string
		parts  []Part
		want   string // of the error; empty: none
	}{
		"the program":           {program, []Part{CNI, Netavark}, ""},
		"its directory":         {dir, []Part{CNI}, ""},
		"one missing":           {dir, []Part{CNI, Service}, filepath.Join(dir, part.PluginProgram)},
		"one for two":           {program, []Part{CNI, Service}, "name the directory that holds both"},
		"none":                  {filepath.Join(dir, "none"), []Part{CNI}, "make build"},
		"not executable":        {filepath.Join(dir, "text"), []Part{CNI}, "is not a program"},
		"empty":                 {filepath.Join(dir, "empty"), []Part{CNI}, "is not a program"},
		"another program of Go": {self, []Part{CNI}, "is built from"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := Request{Parts: c.parts, Binary: c.binary}.programs()
			if c.want == "" && (err != nil || string(found[part.CNIProgram].content) != "x") {
				t.Errorf("%v %v", found, err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if usage := new(UsageError); errors.As(err, usage) != (name == "one for two") {
				t.Errorf("wrong usage: %v", err)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for name, c := range map[string]struct {
		r    Request
		want int // problems
	}{
		"nothing named":     {Request{Root: "/"}, 1},
		"two for one place": {Request{Root: "/", Parts: []Part{CNI, Netavark}, Dir: "/x"}, 1},
		"a place for none":  {Request{Root: "/", Parts: []Part{Service}, Dir: "/x"}, 1},
		"all at once":       {Request{Dir: "x"}, 4},
	} {
		_, err := Install(c.r)
		var usage UsageError
		if !errors.As(err, &usage) || len(usage.Problems) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnit: the unit starts what is installed, and no line of it is one that systemd would take for another's.
func TestUnit(t *testing.T) {
	lines := strings.Split(string(unit), "\n")
	for _, want := range []string{"PartOf=nftables.service", "ExecStart=" + part.ServicePath + " --docker=", "StateDirectory=mcpnet"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, path := range part.EnabledPaths {
		target := strings.TrimSuffix(filepath.Base(filepath.Dir(path)), ".wants")
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "WantedBy=") })
		if i < 0 || !slices.Contains(strings.Fields(strings.TrimPrefix(lines[i], "WantedBy=")), target) {
			t.Errorf("uninstalling looks for %s, which enabling does not make", path)
		}
	}
}
