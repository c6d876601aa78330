package testnet

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// outcome is a test that ends in Lacks.
type outcome struct {
	testing.TB
	failed, skipped bool
}

func (o *outcome) Helper()               {}
func (o *outcome) Fatalf(string, ...any) { o.failed = true; panic(o) }
func (o *outcome) Skipf(string, ...any)  { o.skipped = true; panic(o) }

// TestLacks: in CI a test fails for want of anything that is not on the list; elsewhere it is skipped.
func TestLacks(t *testing.T) {
	for _, tt := range []struct {
		ci, feature string
		fails       bool
	}{
		{"true", "root", true}, {"1", "root", true}, {"woodpecker", "root", true},
		{"true", "iptables-legacy", false}, {"", "root", false}, {"false", "root", false}, {"0", "root", false},
	} {
		t.Setenv("CI", tt.ci)
		o := &outcome{}
		func() {
			defer func() { _ = recover() }()
			Lacks(o, tt.feature, "a test")
		}()
		if o.failed != tt.fails || o.skipped == tt.fails {
			t.Errorf("CI=%s, without %s: fails %v, skips %v; want fails %v", tt.ci, tt.feature, o.failed, o.skipped, tt.fails)
		}
	}
}

// TestCIIsCI: what continuous integration runs says so to the tests.
func TestCIIsCI(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "make"), []byte("#!/bin/sh\necho \"CI=$CI $*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("../../.ci/run")
	run.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	out, err := run.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "CI=true test" {
		t.Errorf(".ci/run: %v: %s", err, out)
	}
}
