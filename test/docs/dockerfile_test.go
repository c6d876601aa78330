package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var makeTarget = regexp.MustCompile(`^make ([a-z-]+)$`)

// TestDockerfile: what the Dockerfile copies and runs is there, and what it does not copy into its build is not needed.
// No image of Go is at hand here, so that nothing shows more.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	steps := 0
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		switch {
		case len(words) > 2 && words[0] == "COPY":
			steps++
			for _, source := range words[1 : len(words)-1] {
				if words[1] == "--from=build" || words[1] == "--from=rootfs" {
					break // made by an earlier step
				}
				if _, err := os.Stat(filepath.Join(root, source)); err != nil {
					t.Errorf("%s: %v", strings.TrimSpace(line), err)
				}
			}
		case len(words) > 1 && words[0] == "RUN":
			steps++
			command := strings.Join(words[1:], " ")
			if m := makeTarget.FindStringSubmatch(command); m != nil {
				if !strings.Contains(string(makefile), "\n"+m[1]+":") {
					t.Errorf("the Makefile has no target %s", m[1])
				}
			} else if info, err := os.Stat(filepath.Join(root, strings.TrimPrefix(words[1], "/"))); err != nil || info.Mode()&0o100 == 0 {
				t.Errorf("%s: %v", command, err)
			}
		}
	}
	if steps < 7 || !strings.Contains(string(makefile), "build/mcpnet-plugin ./plugin") {
		t.Errorf("%d steps; `make build` has to make build/mcpnet-plugin", steps)
	}
}
