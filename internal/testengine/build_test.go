package testengine

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuiltIsNotCached: the go command keeps the result of a test while the files that it opened are the same. A
// program that a test builds in a subprocess has to be among them, as the log shows that the go command goes by.
func TestBuiltIsNotCached(t *testing.T) {
	const variable = "MCPNET_TEST_BUILD"
	if os.Getenv(variable) != "" {
		GoFile(t, "", "cni")
		return
	}
	log := filepath.Join(t.TempDir(), "log")
	build := exec.Command(os.Args[0], "-test.run=^TestBuiltIsNotCached$", "-test.testlogfile="+log)
	build.Env = append(os.Environ(), variable+"=yes")
	output(t, build)
	opened, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"cni", "internal/percall", "internal/plan"} {
		if !strings.Contains(string(opened), "open "+filepath.Join(ModuleRoot(t), dir)+"\n") {
			t.Errorf("the go command does not hear of %s", dir)
		}
	}
}
