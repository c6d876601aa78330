package docs_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// readmeLimit is how many lines the README may have: it is read in three minutes.
const readmeLimit = 120

func TestReadmeIsShort(t *testing.T) {
	if n := len(readPage(t, "README.md").lines); n > readmeLimit {
		t.Errorf("README.md has %d lines, at most %d: the rest belongs into docs/", n, readmeLimit)
	}
}

// TestPagesBegin: every page says first what it is for.
func TestPagesBegin(t *testing.T) {
	for _, p := range pages(t) {
		if !strings.HasPrefix(p.path, "docs/") {
			continue
		}
		if len(p.lines) < 3 || !strings.HasPrefix(p.lines[0], "# ") || p.lines[1] != "" || strings.HasPrefix(p.lines[2], "#") ||
			strings.HasPrefix(p.lines[2], "|") || strings.TrimSpace(p.lines[2]) == "" {
			t.Errorf("%s does not begin with a heading and what the page is for", p.path)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`[^`]*`")
	heading = regexp.MustCompile(`^#+ +(.*)$`)
)

// TestLinks: links within the module lead to files and headings that are there.
func TestLinks(t *testing.T) {
	anchors := map[string]map[string]bool{}
	all := pages(t)
	for _, p := range all {
		anchors[p.path] = p.anchors()
	}
	seen := 0
	for _, p := range all {
		_, prose := p.split()
		for i, line := range prose {
			for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, "x"), -1) {
				if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
					continue
				}
				seen++
				file, anchor, anchored := strings.Cut(m[1], "#")
				target := p.path
				if file != "" {
					target = path.Join(path.Dir(p.path), file)
				}
				if _, err := os.Stat(filepath.Join(root, target)); err != nil || strings.HasPrefix(target, "..") {
					t.Errorf("%s:%d: %s: no such file", p.path, i+1, m[1])
				} else if known, page := anchors[target]; anchored && page && !known[anchor] {
					t.Errorf("%s:%d: %s: no such heading", p.path, i+1, m[1])
				}
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d links found", seen)
	}
}

// anchors are the names that a forge gives to the headings of a page.
func (p page) anchors() map[string]bool {
	out := map[string]bool{}
	blocks := map[int]bool{}
	all, _ := p.split()
	for _, b := range all {
		for i := range b.lines {
			blocks[b.line-1+i] = true
		}
	}
	for i, line := range p.lines {
		m := heading.FindStringSubmatch(line)
		if m == nil || blocks[i] {
			continue
		}
		out[slug(m[1])] = true
	}
	return out
}

// slug is the anchor of a heading: lower case, hyphens for spaces, no punctuation.
func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// ours are the directories whose files prose names.
var ours = regexp.MustCompile(`^(internal|test|docs|scripts|examples|cmd|plugin|cni|hook)(/[a-zA-Z0-9_.-]+)+/?$`)

// TestPaths: files of the module that a page names are there.
func TestPaths(t *testing.T) {
	for _, p := range pages(t) {
		_, prose := p.split()
		for i, line := range prose {
			for _, span := range code.FindAllString(line, -1) {
				name := strings.Trim(span, "`")
				if !ours.MatchString(name) || isGenerated(p.path) {
					continue
				}
				if _, err := os.Stat(filepath.Join(root, name)); err != nil {
					t.Errorf("%s:%d: %s: no such file", p.path, i+1, name)
				}
			}
		}
	}
}

// isGenerated tells pages that a program writes. They are as old as its last run.
func isGenerated(path string) bool { return path == "docs/benchmarks.md" }
