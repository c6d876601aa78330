// Package docs_test holds the pages to what there is: links and commands to files, targets and flags, the README to
// what a real engine prints.
package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the directory of the module.
const root = "../.."

// page is one Markdown file.
type page struct {
	path  string // from the module's directory, with slashes
	lines []string
}

// pages are all Markdown files of the module.
func pages(t *testing.T) (all []page) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "build") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, ".md") {
			all = append(all, readPage(t, filepath.ToSlash(strings.TrimPrefix(path, root+"/"))))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages found", len(all))
	}
	return all
}

func readPage(t *testing.T, path string) page {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return page{path, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
}

// block is a fenced piece of a page.
type block struct {
	section  string // the heading above it
	language string
	line     int // of its first line, from 1
	lines    []string
}

func (b block) text() string { return strings.Join(b.lines, "\n") }

// split parts a page into its blocks and its prose. Lines of blocks are empty in the prose, so that numbers of lines
// hold.
func (p page) split() (blocks []block, prose []string) {
	prose = slices.Clone(p.lines)
	section := ""
	var open *block
	for i, line := range p.lines {
		mark, fenced := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fenced && open == nil:
			open = &block{section: section, language: mark, line: i + 2}
		case fenced:
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.lines = append(open.lines, line)
		case strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
			continue
		default:
			continue
		}
		prose[i] = ""
	}
	return blocks, prose
}

// commands are the lines of a shell block, with those that continue put together.
func (b block) commands() (out []string) {
	pending := ""
	for _, line := range b.lines {
		pending += line
		if strings.HasSuffix(line, "\\") {
			pending += "\n"
			continue
		}
		if trimmed := strings.TrimSpace(pending); trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			out = append(out, strings.TrimRight(pending, " "))
		}
		pending = ""
	}
	return out
}
