package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Outcome is what became of a mutation.
type Outcome string

// The outcomes.
const (
	Invalid  Outcome = "invalid" // it does not compile
	Killed   Outcome = "killed"  // a test of behaviour fails
	Golden   Outcome = "golden"  // only a text that was written down differs
	Survived Outcome = "survived"
)

// Result is a mutation with what became of it.
type Result struct {
	Mutation
	Outcome Outcome `json:"outcome"`
	By      string  `json:"by,omitempty"` // the test that fails, or the compiler's word
	Seconds float64 `json:"seconds"`
}

// runner tries mutations, one at a time. The sources stay as they are: the go command is told of other files that stand
// in their place.
type runner struct {
	root, dir string
	catalogue *catalogue
	level     Level
	habits    *habits
}

// say is for whoever waits.
func (r *runner) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// try makes a mutation and asks the tests.
func (r *runner) try(ctx context.Context, m Mutation) (Result, error) {
	began := time.Now()
	outcome, by, err := r.ask(ctx, m)
	return Result{m, outcome, by, time.Since(began).Round(100 * time.Millisecond).Seconds()}, err
}

func (r *runner) ask(ctx context.Context, m Mutation) (Outcome, string, error) {
	quiet, err := r.overlay("quiet", m, true)
	if err != nil {
		return "", "", err
	}
	if says, err := r.compiler(ctx, quiet, "build", "-o", os.DevNull, "./"+m.Package()); err != nil {
		return Invalid, firstError(says), ctx.Err()
	}
	suites := r.catalogue.about(m.Package(), r.level)
	if by, err := r.killer(ctx, m, suites, quiet); by != "" || err != nil {
		return Killed, by, err
	}
	whole, err := r.overlay("whole", m, false)
	if err != nil {
		return "", "", err
	}
	for _, s := range suites {
		if !r.catalogue.needs[s.Package+".test"]["internal/golden"] {
			continue
		}
		if by, err := r.killer(ctx, m, []Suite{s}, whole); by != "" || err != nil {
			return Golden, by, err
		}
	}
	return Survived, "", nil
}

// killer is the first test that fails. It has to fail twice, so that a machine that was busy for a moment kills
// nothing.
func (r *runner) killer(ctx context.Context, m Mutation, suites []Suite, overlay string) (string, error) {
	for _, s := range suites {
		usual, err := r.usually(ctx, s)
		if err != nil {
			return "", err
		}
		if usual.Broken != "" || !r.reaches(usual, s, m) {
			continue
		}
		if failed, err := r.fails(ctx, s, overlay, 3*usual.Took+time.Minute); failed != "" || err != nil {
			return s.Package + " " + failed, err
		}
	}
	return "", nil
}

// fails gives the test of a suite that fails twice.
func (r *runner) fails(ctx context.Context, s Suite, overlay string, limit time.Duration) (string, error) {
	if says, err := r.compiler(ctx, overlay, "test", "-c", "-o", r.program(), "./"+s.Package); err != nil {
		return "compiler: " + firstError(says), ctx.Err()
	}
	failed, err := r.test(ctx, s, overlay, limit)
	if err != nil || failed == "" {
		return "", err
	}
	if top, _, _ := strings.Cut(failed, "/"); strings.HasPrefix(top, "Test") {
		s.Run, s.Skip = "^"+top+"$", ""
	}
	return r.test(ctx, s, overlay, limit)
}

// program is where the tests are that were compiled last.
func (r *runner) program() string { return filepath.Join(r.dir, "tests") }

// overlay writes what stands in the place of sources, and gives the path of its list. A quiet one compares no text with
// golden files.
func (r *runner) overlay(name string, m Mutation, quiet bool) (string, error) {
	replace := map[string]string{}
	put := func(file string, change func([]byte) []byte) error {
		source, err := os.ReadFile(filepath.Join(r.root, file))
		if err != nil {
			return err
		}
		path := filepath.Join(r.dir, name+"-"+filepath.Base(file))
		replace[filepath.Join(r.root, file)] = path
		return os.WriteFile(path, change(source), 0o600)
	}
	var err error
	if m.File != "" {
		err = put(m.File, m.apply)
	}
	if quiet {
		err = errors.Join(err, put("internal/golden/golden.go", mute))
	}
	text, _ := json.Marshal(map[string]any{"Replace": replace})
	path := filepath.Join(r.dir, name+".json")
	return path, errors.Join(err, os.WriteFile(path, text, 0o600))
}

// mute has golden.Check compare nothing.
func mute(source []byte) []byte {
	const head = "func Check(t testing.TB, update bool, name, got string) {\n"
	return []byte(strings.Replace(string(source), head, head+"\tif !update {\n\t\treturn\n\t}\n", 1))
}

// compiler runs the go command with an overlay.
func (r *runner) compiler(ctx context.Context, overlay string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = r.root, environ(overlay)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// environ has every go command of the tests themselves take the overlay, too.
func environ(overlay string) []string {
	flags := strings.TrimSpace(os.Getenv("GOFLAGS") + " -overlay=" + overlay)
	return append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="+flags)
}

// test runs a suite that was compiled, and gives the name of the test that fails.
func (r *runner) test(ctx context.Context, s Suite, overlay string, limit time.Duration, more ...string) (failed string, err error) {
	args := append([]string{"-test.failfast", "-test.timeout=" + limit.String()}, more...)
	for flag, pattern := range map[string]string{"run": s.Run, "skip": s.Skip} {
		if pattern != "" {
			args = append(args, "-test."+flag+"="+pattern)
		}
	}
	out, err := r.bounded(ctx, limit+10*time.Second, filepath.Join(r.root, s.Package), overlay, r.program(), args...)
	if err == nil || ctx.Err() != nil {
		return "", ctx.Err()
	}
	return culprit(out), nil
}

// bounded runs a program that ends, with all that it started, when its time is over.
func (r *runner) bounded(ctx context.Context, limit time.Duration, dir, overlay, program string, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, environ(overlay)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var (
	failLine = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	lateLine = regexp.MustCompile(`(?m)^panic: test timed out|^\s+(Test\S+) \(`)
)

// culprit is the test that fails, the innermost of the first. A program that ended early says less.
func culprit(out string) string {
	found := ""
	for _, match := range failLine.FindAllStringSubmatch(out, -1) {
		if found != "" && !strings.HasPrefix(match[1], found+"/") {
			break
		}
		found = match[1]
	}
	if found != "" {
		return found
	}
	if strings.Contains(out, "panic: test timed out") {
		for _, match := range lateLine.FindAllStringSubmatch(out, -1) {
			if match[1] != "" {
				return match[1] + " (out of time)"
			}
		}
	}
	return "the program ended"
}

// firstError is the first line that a compiler says about a file.
func firstError(out string) string {
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			return short(line)
		}
	}
	return short(out)
}
