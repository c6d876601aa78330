// Package manifest is the record of what mcpnet installed: the files that it wrote, the directories that it made, and
// its parts of configuration files that are somebody else's. Uninstalling needs it to remove that and nothing more.
package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/strictjson"
	"github.com/mcpnet/mcpnet/internal/surface"
)

// Path is the place of the manifest. It is beside the stores: what uninstalling needs is not lost with a cache.
const Path = surface.DefaultRoot + "/install.json"

// schema is the version of the manifest. A newer one is not acted on.
const schema = 1

// Manifest is what was installed and not removed since.
type Manifest struct {
	Schema int      `json:"schema"`
	Files  []Record `json:"files"`
	// Directories are those that were not there before.
	Directories []string `json:"directories,omitempty"`
	// Edits are the changes of other programs' configuration files, and Options what was chosen for the engines.
	Edits   []Edit                     `json:"edits,omitempty"`
	Options map[part.Part]part.Options `json:"options,omitempty"`
}

// Record is an installed file.
type Record struct {
	Path   string    `json:"path"`
	Part   part.Part `json:"part"`
	Mode   Mode      `json:"mode"`
	SHA256 string    `json:"sha256"`
}

// Parse reads the text of a manifest. No text is the manifest of a host on which nothing was installed.
func Parse(text []byte) (Manifest, error) {
	m := Manifest{Schema: schema}
	if text == nil {
		return m, nil
	}
	if err := strictjson.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if m.Schema != schema {
		return m, fmt.Errorf("schema %d, this mcpnet reads %d", m.Schema, schema)
	}
	if err := m.checkParts(); err != nil {
		return m, err
	}
	return m, m.checkPaths()
}

func (m Manifest) checkParts() error {
	for _, r := range m.Files {
		if !slices.Contains(part.All(), r.Part) {
			return fmt.Errorf("%s: part %q is none of %v", r.Path, r.Part, part.All())
		}
	}
	for _, e := range m.Edits {
		if engine, ok := part.EngineOf(e.Part); !ok || !slices.Contains(part.Edited, engine) {
			return fmt.Errorf("%s: part %q has no configuration that mcpnet edits", e.Path, e.Part)
		}
	}
	return nil
}

func (m Manifest) checkPaths() error {
	for _, path := range append(m.Paths(), m.Directories...) {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return fmt.Errorf("%q is not an absolute path", path)
		}
	}
	return nil
}

// Paths lists all files, those that were written and those that were edited.
func (m Manifest) Paths() []string {
	var paths []string
	for _, r := range m.Files {
		paths = append(paths, r.Path)
	}
	for _, e := range m.Edits {
		paths = append(paths, e.Path)
	}
	return paths
}

// Text is the document. Equal manifests have equal texts.
func (m Manifest) Text() []byte {
	m = m.Clone()
	slices.SortFunc(m.Files, func(a, b Record) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(m.Edits, func(a, b Edit) int { return strings.Compare(a.Path, b.Path) })
	m.Directories = m.SortedDirectories()
	text, _ := json.MarshalIndent(m, "", "  ") // strings and numbers only: it cannot fail
	return append(text, '\n')
}

// SortedDirectories lists each directory once, parents first.
func (m Manifest) SortedDirectories() []string {
	return slices.Compact(slices.Sorted(slices.Values(m.Directories)))
}

// Equal tells whether two manifests record the same.
func (m Manifest) Equal(other Manifest) bool { return bytes.Equal(m.Text(), other.Text()) }

// Clone is a copy that shares nothing that Put, Forget and the like change.
func (m Manifest) Clone() Manifest {
	m.Files, m.Directories, m.Edits = slices.Clone(m.Files), slices.Clone(m.Directories), slices.Clone(m.Edits)
	m.Options = maps.Clone(m.Options)
	return m
}

// Empty tells whether nothing is installed.
func (m Manifest) Empty() bool { return len(m.Files) == 0 && len(m.Edits) == 0 }

// ProgramsLast lists the files in the order of their removal, so that nothing names a program that is gone: with a hook
// whose program is missing, Podman runs the container as if there were no hook.
func (m Manifest) ProgramsLast() []Record {
	var programs, others []Record
	for _, r := range m.Files {
		if r.Part == part.Runtime {
			programs = append(programs, r)
		} else {
			others = append(others, r)
		}
	}
	return append(others, programs...)
}

// Find returns the record of a path.
func (m Manifest) Find(path string) (Record, bool) {
	for _, r := range m.Files {
		if r.Path == path {
			return r, true
		}
	}
	return Record{}, false
}

// Put replaces the record of a path.
func (m *Manifest) Put(r Record) {
	m.Forget(r.Path)
	m.Files = append(m.Files, r)
}

// Forget drops the record of a path.
func (m *Manifest) Forget(path string) {
	m.Files = slices.DeleteFunc(m.Files, func(r Record) bool { return r.Path == path })
}
