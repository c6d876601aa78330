package engines_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
)

// TestInstallCNIDirectories: on Debian, whose plugins are in /usr/lib/cni and whose containerd is told so, ctr reads
// another directory. `mcpnet install --cni` serves both, and says why.
func TestInstallCNIDirectories(t *testing.T) {
	programs := t.TempDir()
	command := testengine.GoFile(t, "/usr/local/bin/mcpnet", "cmd/mcpnet").Source
	if out, err := exec.Command("cp", testengine.GoFile(t, "/x", "cni").Source, filepath.Join(programs, "mcpnet-cni")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, version := range []string{"20.10", "28.5"} {
		tree, err := testengine.Tree(version)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(command, "install", "--cni", "--dry-run", "--root", tree, "--binary", programs).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for path, why := range map[string]string{"/opt/cni/bin/mcpnet": "ctr reads it", "/usr/lib/cni/mcpnet": "/etc/containerd/config.toml names it"} {
			if !lineWith(string(out), "would write "+path, why) {
				t.Errorf("Debian of Docker %s: %s is not served because %q:\n%s", version, path, why, out)
			}
		}
	}
}

func lineWith(text string, parts ...string) bool {
	for line := range strings.Lines(text) {
		found := true
		for _, part := range parts {
			found = found && strings.Contains(line, part)
		}
		if found {
			return true
		}
	}
	return false
}

// TestVersionOfEveryProgram: each says its name and version, wherever it is installed, and a runtime also where the
// real one is missing.
func TestVersionOfEveryProgram(t *testing.T) {
	for dir, name := range map[string]string{"cmd/mcpnet": "mcpnet", "cni": "mcpnet-cni", "plugin": "mcpnet-plugin", "hook": "mcpnet-runtime"} {
		c := exec.Command(testengine.GoFile(t, "/x", dir).Source, "--version")
		c.Env = []string{"PATH=/nonexistent"}
		out, err := c.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), name+" ") {
			t.Errorf("%s --version: %v: %s", name, err, out)
		}
	}
}
