package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usual is what a suite does without a mutation.
type usual struct {
	Took time.Duration
	// Covered are the lines of each file that it runs.
	Covered map[string]map[int]bool
	// Broken says why the suite is not asked: it does not pass.
	Broken string
}

// habits are what suites do without a mutation, kept for the next run on the same sources.
type habits struct {
	path   string
	Sum    string // of all sources
	Suites map[string]usual
}

// habitsOf reads what an earlier run found out.
func habitsOf(ctx context.Context, root, dir string) (*habits, error) {
	sum, err := exec.CommandContext(ctx, "sh", "-c", `find "$1" -name '*.go' -type f | sort | xargs cat | sha256sum`, "sh", root).Output()
	if err != nil {
		return nil, err
	}
	h := &habits{path: filepath.Join(dir, "suites.json")}
	text, err := os.ReadFile(h.path)
	if err != nil || json.Unmarshal(text, h) != nil || h.Sum != string(sum) {
		h.Sum, h.Suites = string(sum), map[string]usual{}
	}
	return h, nil
}

func (h *habits) put(s Suite, u usual) error {
	h.Suites[s.String()] = u
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return replaceFile(h.path, text)
}

// reaches tells whether a suite runs what a mutation changes: in its own process by its coverage, and in the programs
// that it builds as far as they are made of the package.
func (r *runner) reaches(u usual, s Suite, m Mutation) bool {
	for _, program := range built[s.Package] {
		if r.catalogue.needs[program][m.Package()] {
			return true
		}
	}
	return u.Covered[m.File][m.Line] || !m.Inside && s.Package == m.Package()
}

// usually runs a suite on the sources as they are, once, and notes what it covers.
func (r *runner) usually(ctx context.Context, s Suite) (usual, error) {
	if u, known := r.habits.Suites[s.String()]; known {
		return u, nil
	}
	quiet, err := r.overlay("usual", Mutation{}, true)
	if err != nil {
		return usual{}, err
	}
	profile := filepath.Join(r.dir, "profile")
	if says, err := r.compiler(ctx, quiet, "test", "-c", "-o", r.program(), "-coverpkg="+module+"/...", "./"+s.Package); err != nil {
		return usual{}, fmt.Errorf("%s: %s", s, firstError(says))
	}
	began := time.Now()
	failed, err := r.test(ctx, s, quiet, 20*time.Minute, "-test.coverprofile="+profile)
	if err != nil {
		return usual{}, err
	}
	u := usual{Took: time.Since(began)}
	if failed != "" {
		u.Broken = failed + " fails without a mutation"
		r.say("%s: %s: not asked", s, u.Broken)
	} else if u.Covered, err = coverage(profile); err != nil {
		return usual{}, err
	} else {
		r.say("%s: passes in %.1f s", s, u.Took.Seconds())
	}
	return u, r.habits.put(s, u)
}

// coverage reads the lines that were run from a profile: `FILE:LINE.COLUMN,LINE.COLUMN STATEMENTS COUNT`.
func coverage(path string) (map[string]map[int]bool, error) {
	profile, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer profile.Close()
	covered := map[string]map[int]bool{}
	lines := bufio.NewScanner(profile)
	for lines.Scan() {
		file, rest, _ := strings.Cut(lines.Text(), ":")
		span, counts, _ := strings.Cut(rest, " ")
		if file == "mode" || strings.HasSuffix(counts, " 0") {
			continue
		}
		from, to, _ := strings.Cut(span, ",")
		file = below(file)
		if covered[file] == nil {
			covered[file] = map[int]bool{}
		}
		for line := lineOf(from); line <= lineOf(to); line++ {
			covered[file][line] = true
		}
	}
	return covered, lines.Err()
}

func lineOf(position string) int {
	line, _, _ := strings.Cut(position, ".")
	n, _ := strconv.Atoi(line)
	return n
}
