package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestArchitecture: the page names every package of the house.
func TestArchitecture(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(root, "internal"))
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Join(readPage(t, "docs/architecture.md").lines, "\n")
	for _, e := range entries {
		if e.IsDir() && !strings.Contains(page, "`"+e.Name()+"`") {
			t.Errorf("docs/architecture.md does not say what internal/%s holds", e.Name())
		}
	}
}
