package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is the import path of what is mutated.
const module = "github.com/mcpnet/mcpnet"

// Level says what a suite needs.
type Level int

// The levels. Each has those before it.
const (
	Packages   Level = iota // the packages' own tests: files, and namespaces
	Namespaces              // whole networks in namespaces
	Engines                 // real engines
)

var levels = []string{"packages", "namespaces", "engines"}

// Suite is the tests of one package, or some of them.
type Suite struct {
	Package   string
	Run, Skip string // patterns, as of go test
	Level     Level
	Seconds   int // about how long they take: cheap ones are asked first
}

func (s Suite) String() string {
	switch {
	case s.Run != "":
		return s.Package + " -run " + s.Run
	case s.Skip != "":
		return s.Package + " -skip " + s.Skip
	}
	return s.Package
}

// slow are the suites that take longer than a few seconds. All other packages with tests are asked whole.
var slow = []Suite{
	{Package: "internal/percall", Seconds: 10},
	{Package: "internal/ns", Seconds: 5},
	{Package: "internal/link", Seconds: 5},
	{Package: "internal/firewall/nft", Seconds: 10},
	{Package: "plugin", Seconds: 10},
	{Package: "test/stress", Level: Namespaces, Seconds: 20},
	{Package: "internal/resident", Skip: crashes, Level: Namespaces, Seconds: 60},
	{Package: "internal/resident", Run: crashes, Level: Namespaces, Seconds: 120},
	{Package: "test/leak", Level: Namespaces, Seconds: 90},
	{Package: "test/cni", Level: Namespaces, Seconds: 180},
	{Package: "test/docs", Level: Engines, Seconds: 100},
	{Package: "test/engines", Level: Engines, Seconds: 400},
	{Package: "test/docker", Level: Engines, Seconds: 500},
	{Package: "internal/testengine", Level: Engines, Seconds: 60},
}

// crashes are the tests of the resident front that take most of its time.
const crashes = "^(TestCrash|TestRepairTime)$"

// built are the programs that suites build in a subprocess, so that no import tells of them.
var built = map[string][]string{
	"test/leak":    {"cni"},
	"test/cni":     {"cni"},
	"test/docs":    {"plugin", "cmd/mcpnet", "hook", "cni"},
	"test/docker":  {"plugin", "hook", "cmd/mcpnet"},
	"test/engines": {"plugin", "hook", "cmd/mcpnet", "cni"},
}

// catalogue is the module's packages and tests.
type catalogue struct {
	files  map[string][]string        // of each package that is shipped
	needs  map[string]map[string]bool // what a package is made of, by package
	suites []Suite
}

// listed is a package as `go list` shows it.
type listed struct {
	ImportPath, ForTest string
	GoFiles, Deps       []string
	TestGoFiles         []string
	XTestGoFiles        []string
}

// read lists the module.
func read(ctx context.Context, root string) (*catalogue, error) {
	all, err := list(ctx, root)
	if err != nil {
		return nil, err
	}
	c := &catalogue{files: map[string][]string{}, needs: map[string]map[string]bool{}}
	for _, p := range all {
		c.add(p)
	}
	slices.SortStableFunc(c.suites, func(a, b Suite) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Seconds, b.Seconds))
	})
	return c, nil
}

func list(ctx context.Context, root string) (all []listed, err error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-test", "-json=ImportPath,ForTest,GoFiles,Deps,TestGoFiles,XTestGoFiles", module+"/...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// add takes a package in. Those that go list makes for tests tell what tests are made of.
func (c *catalogue) add(p listed) {
	name, variant, _ := strings.Cut(p.ImportPath, " ")
	name = below(name)
	if tested, ok := strings.CutSuffix(name, ".test"); ok {
		c.needs[name] = set(p.Deps)
		c.suites = append(c.suites, suitesOf(tested)...)
		return
	}
	if variant != "" || p.ForTest != "" {
		return
	}
	c.needs[name] = set(p.Deps)
	c.needs[name][name] = true
	if isProduct(name) {
		for _, file := range p.GoFiles {
			c.files[name] = append(c.files[name], filepath.ToSlash(filepath.Join(name, file)))
		}
	}
}

// isProduct tells what is shipped from what is there for tests and developers.
func isProduct(name string) bool {
	for _, prefix := range []string{"test/", "scripts/", "internal/firewall/explain", "internal/test", "internal/golden", "internal/frame"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

func suitesOf(name string) (found []Suite) {
	for _, s := range slow {
		if s.Package == name {
			found = append(found, s)
		}
	}
	if found == nil {
		found = []Suite{{Package: name, Seconds: 1}}
	}
	return found
}

// about gives the suites that run a package's code, its own first, then cheap ones.
func (c *catalogue) about(name string, most Level) (asked []Suite) {
	for _, s := range c.suites {
		if s.Level <= most && c.runs(s, name) {
			asked = append(asked, s)
		}
	}
	slices.SortStableFunc(asked, func(a, b Suite) int { return cmp.Compare(own(b, name), own(a, name)) })
	return asked
}

func own(s Suite, name string) int {
	if s.Package == name {
		return 1
	}
	return 0
}

// runs tells whether code of a package may run in a suite.
func (c *catalogue) runs(s Suite, name string) bool {
	return c.needs[s.Package+".test"][name] || slices.ContainsFunc(built[s.Package], func(program string) bool {
		return c.needs[program][name]
	})
}

func below(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func set(paths []string) map[string]bool {
	s := map[string]bool{}
	for _, path := range paths {
		path, _, _ = strings.Cut(path, " ")
		s[below(path)] = true
	}
	return s
}
