package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// Mutation is one change of one file, as text: what stands between two bytes becomes something else.
type Mutation struct {
	File string `json:"file"` // below the root of the module
	Line int    `json:"line"`
	Kind string `json:"kind"` // the operator's name
	From int    `json:"from"`
	To   int    `json:"to"`
	Old  string `json:"old"`
	New  string `json:"new"`
	Sum  string `json:"sum"` // of the whole file: with another one the mutation is another one
	// Inside says that it is in a function: coverage tells who runs it.
	Inside bool `json:"inside"`
}

// ID tells mutations apart. It is another one when the file changes.
func (m Mutation) ID() string {
	return fmt.Sprintf("%s:%s:%d-%d:%s", m.File, m.Sum, m.From, m.To, m.New)
}

// Package is the directory of the file.
func (m Mutation) Package() string { return filepath.ToSlash(filepath.Dir(m.File)) }

func (m Mutation) String() string {
	return fmt.Sprintf("%s:%d: %s: %s → %s", m.File, m.Line, m.Kind, short(m.Old), short(m.New))
}

// short is a text in one line of a table.
func short(text string) string {
	const most = 70
	words := []rune(strings.Join(strings.Fields(text), " "))
	if len(words) == 0 {
		return "(nothing)"
	}
	if len(words) > most {
		return string(words[:most]) + "…"
	}
	return string(words)
}

// apply gives the file with the change made.
func (m Mutation) apply(source []byte) []byte {
	return []byte(string(source[:m.From]) + m.New + string(source[m.To:]))
}

// mutationsOf finds every mutation of a file.
func mutationsOf(root, file string) ([]Mutation, error) {
	source, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(parsed) {
		return nil, nil
	}
	sum := sha256.Sum256(source)
	f := &finder{set: set, source: source, file: file, sum: hex.EncodeToString(sum[:4])}
	f.walk(parsed)
	return f.found, nil
}

// finder collects the mutations of one file.
type finder struct {
	set    *token.FileSet
	source []byte
	file   string
	sum    string
	inside bool // a function
	found  []Mutation
}

// walk shows every node to every operator, with the nodes that it stands in.
func (f *finder) walk(file *ast.File) {
	var above []ast.Node
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return true
		}
		if isArid(n) {
			return false
		}
		f.inside = function(above) != nil
		for _, operator := range operators {
			operator(f, n, above)
		}
		above = append(above, n)
		return true
	})
}

// text is the source of a node.
func (f *finder) text(n ast.Node) string {
	return string(f.source[f.offset(n.Pos()):f.offset(n.End())])
}

func (f *finder) offset(p token.Pos) int { return f.set.Position(p).Offset }

// replace notes a mutation of a node.
func (f *finder) replace(kind string, n ast.Node, text string) { f.note(kind, n.Pos(), n.End(), text) }

// note notes a mutation of what stands between two positions.
func (f *finder) note(kind string, from, to token.Pos, text string) {
	m := Mutation{File: f.file, Line: f.set.Position(from).Line, Kind: kind, From: f.offset(from), To: f.offset(to), New: text, Sum: f.sum, Inside: f.inside}
	m.Old = string(f.source[m.From:m.To])
	f.found = append(f.found, m)
}
