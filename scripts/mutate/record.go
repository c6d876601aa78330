package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// record is what became of all mutations so far. It is on disk after each, so that a run can be ended and go on.
type record struct {
	dir     string
	Results []Result `json:"results"`
}

func (r *record) path() string { return filepath.Join(r.dir, "mutations.json") }

// open reads what an earlier run left.
func open(dir string) (*record, error) {
	r := &record{dir: dir}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(r.path())
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to begin anew", r.path(), err)
	}
	return r, nil
}

// of is what became of a mutation.
func (r *record) of(m Mutation) (Result, bool) {
	i := slices.IndexFunc(r.Results, func(old Result) bool { return old.ID() == m.ID() })
	if i < 0 {
		return Result{}, false
	}
	return r.Results[i], true
}

// add puts a result in the place of an earlier one.
func (r *record) add(result Result) error {
	r.Results = slices.DeleteFunc(r.Results, func(old Result) bool { return old.ID() == result.ID() })
	r.Results = append(r.Results, result)
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(replaceFile(r.path(), text), replaceFile(filepath.Join(r.dir, "mutations.md"), []byte(r.page())))
}

// replaceFile never leaves half a file.
func replaceFile(path string, text []byte) error {
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// page is the record as Markdown: how many of each package, and where nothing noticed.
func (r *record) page() string {
	var b strings.Builder
	b.WriteString("# Mutations\n\n| package | valid | killed | by golden text alone | survived |\n|---|---|---|---|---|\n")
	byPackage := map[string]map[Outcome]int{}
	for _, result := range r.Results {
		for _, name := range []string{result.Package(), "total"} {
			if byPackage[name] == nil {
				byPackage[name] = map[Outcome]int{}
			}
			byPackage[name][result.Outcome]++
		}
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(byPackage)), func(name string) bool { return name == "total" })
	for _, name := range append(names, "total") {
		of := byPackage[name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, of[Killed]+of[Golden]+of[Survived], of[Killed], of[Golden], of[Survived])
	}
	b.WriteString("\n| where | mutation | became | outcome | by |\n|---|---|---|---|---|\n")
	for _, outcome := range []Outcome{Survived, Golden, Killed} {
		for _, m := range r.Results {
			if m.Outcome == outcome {
				fmt.Fprintf(&b, "| %s:%d | %s: `%s` | `%s` | %s | %s |\n", m.File, m.Line, m.Kind, cell(m.Old), cell(m.New), m.Outcome, cell(m.By))
			}
		}
	}
	return b.String()
}

func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "`", "'").Replace(short(text))
}

// valid counts the mutations that compile.
func (r *record) valid() (n int) {
	for _, result := range r.Results {
		if result.Outcome != Invalid {
			n++
		}
	}
	return n
}
