package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const sample = `package sample

import "log/slog"

type point struct{ X, Y int }

func (p point) String() string { return "one" + "two" }

func sample(a, b int, on bool) ([]int, error) {
	slog.Info("not a behaviour", "a", a+1)
	var list []int
	if a == b && !on {
		list = append(list, a, b)
	}
	switch {
	case a < 3:
		list = []int{a, 7}
	default:
		a++
	}
	if err := check(point{X: a}); err != nil {
		return nil, err
	}
	return list, nil
}

func check(p point) error { return fail(p) }
`

// TestMutations: every operator finds something, what it makes of it is Go, and what is no behaviour is left alone.
func TestMutations(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sample.go"), []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := mutationsOf(dir, "sample.go")
	if err != nil {
		t.Fatal(err)
	}
	ids, changes := map[string]bool{}, []string{}
	for _, m := range all {
		changed := string(m.apply([]byte(sample)))
		if _, err := parser.ParseFile(token.NewFileSet(), "", changed, 0); err != nil || changed == sample || ids[m.ID()] {
			t.Errorf("%s: %v; known %v", m, err, ids[m.ID()])
		}
		if m.Line == 7 || m.Line == 10 {
			t.Errorf("%s: no behaviour", m)
		}
		ids[m.ID()] = true
		changes = append(changes, m.Kind+": "+m.Old+" → "+m.New)
	}
	for _, want := range []string{
		"negate: a == b && !on → !(a == b && !on)", "negate: !on → on", "compare: == → !=", "compare: < → <=",
		"halve: a == b && !on → (a == b)", "halve: a == b && !on → (!on)", "drop: a++ → if false { a++ }",
		"no error: err → nil", "no error: fail(p) → func() error { _ = fail(p); return nil }()", "constant: 7 → 8",
		"element: , b → ", "element: a,  → ", "element: X: a → ", "case: case a < 3:\n\t\tlist = []int{a, 7} → ",
	} {
		if !slices.Contains(changes, want) {
			t.Errorf("%q is not among %q", want, changes)
		}
	}
}

// TestCulprit: the test that fails is the innermost of the first.
func TestCulprit(t *testing.T) {
	for out, want := range map[string]string{
		"--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/x (0.1s)\n        --- FAIL: TestA/x/y (0.1s)\n--- FAIL: TestB (0.1s)\n": "TestA/x/y",
		"panic: test timed out after 1s\n\trunning tests:\n\t\tTestSlow (1s)\n":                                              "TestSlow (out of time)",
		"signal: killed\n": "the program ended",
	} {
		if got := culprit(out); got != want {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}
