package install

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// manifestPath records what was installed. It lies beside the stores: what uninstalling needs is not lost with a cache.
const manifestPath = "/var/lib/mcpnet/install.json"

// schema is the version of the manifest. A newer one is not acted on.
const schema = 1

// manifest is what was installed and not removed since.
type manifest struct {
	Schema int      `json:"schema"`
	Files  []record `json:"files"`
	// Directories are those that were not there before.
	Directories []string `json:"directories,omitempty"`
	// Edits are mcpnet's parts of configuration files that are somebody else's, and Options what was chosen for the engines.
	Edits   []edit           `json:"edits,omitempty"`
	Options map[Part]options `json:"options,omitempty"`
}

// record is an installed file.
type record struct {
	Path   string `json:"path"`
	Part   Part   `json:"part"`
	Mode   Mode   `json:"mode"`
	SHA256 string `json:"sha256"`
}

// Mode is a file's permissions, printed in octal.
type Mode fs.FileMode

func (m Mode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// MarshalText prints the octal digits.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads octal digits.
func (m *Mode) UnmarshalText(text []byte) error {
	v, err := strconv.ParseUint(string(text), 8, 9)
	*m = Mode(v)
	return err
}

// readManifest reads a manifest's text; none is the manifest of a host on which nothing was installed.
func readManifest(text []byte) (manifest, error) {
	m := manifest{Schema: schema}
	if text == nil {
		return m, nil
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, err
	}
	if m.Schema != schema {
		return m, fmt.Errorf("schema %d, this mcpnet reads %d", m.Schema, schema)
	}
	paths := slices.Clone(m.Directories)
	for _, r := range m.Files {
		paths = append(paths, r.Path)
		if !slices.Contains(allParts(), r.Part) {
			return m, fmt.Errorf("%s: part %q is none of %v", r.Path, r.Part, allParts())
		}
	}
	for _, e := range m.Edits {
		paths = append(paths, e.Path)
		if editors[e.Part] == nil {
			return m, fmt.Errorf("%s: part %q has no configuration that mcpnet edits", e.Path, e.Part)
		}
	}
	for _, path := range paths {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path {
			return m, fmt.Errorf("%q is not an absolute path", path)
		}
	}
	return m, nil
}

// text is the document, the same for the same contents.
func (m manifest) text() []byte {
	m = m.clone()
	slices.SortFunc(m.Files, func(a, b record) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(m.Edits, func(a, b edit) int { return strings.Compare(a.Path, b.Path) })
	m.Directories = m.directories()
	text, _ := json.MarshalIndent(m, "", "  ") // strings and numbers only: it cannot fail
	return append(text, '\n')
}

// directories names each once, parents first.
func (m manifest) directories() []string {
	return slices.Compact(slices.Sorted(slices.Values(m.Directories)))
}

func (m manifest) equal(other manifest) bool { return bytes.Equal(m.text(), other.text()) }

func (m manifest) clone() manifest {
	return manifest{m.Schema, slices.Clone(m.Files), slices.Clone(m.Directories), slices.Clone(m.Edits), maps.Clone(m.Options)}
}

func (m manifest) empty() bool { return len(m.Files) == 0 && len(m.Edits) == 0 }

// programsLast gives the files so that nothing names one that is gone already: with a hook whose program is not there,
// Podman runs the container as if there were no hook.
func (m manifest) programsLast() []record {
	files := slices.Clone(m.Files)
	slices.SortStableFunc(files, func(a, b record) int {
		switch program := func(r record) bool { return r.Part == Runtime }; {
		case program(a) == program(b):
			return 0
		case program(a):
			return 1
		}
		return -1
	})
	return files
}

// hasEngine tells that the runtime is registered somewhere.
func (m manifest) hasEngine() bool {
	return slices.ContainsFunc(Engines, func(e Engine) bool { return m.has(e.part()) })
}

func (m manifest) has(p Part) bool {
	return slices.ContainsFunc(m.Files, func(r record) bool { return r.Part == p }) ||
		slices.ContainsFunc(m.Edits, func(e edit) bool { return e.Part == p })
}

func (m manifest) findEdit(path string) (edit, bool) {
	i := slices.IndexFunc(m.Edits, func(e edit) bool { return e.Path == path })
	if i < 0 {
		return edit{}, false
	}
	return m.Edits[i], true
}

// putEdit replaces the record of an edit. One that changes nothing is none.
func (m *manifest) putEdit(e edit) {
	m.forgetEdit(e.Path)
	if len(e.Keys)+len(e.Inserted) > 0 {
		m.Edits = append(m.Edits, e)
	}
}

func (m *manifest) forgetEdit(path string) {
	m.Edits = slices.DeleteFunc(m.Edits, func(e edit) bool { return e.Path == path })
}

// choose records options that were chosen.
func (m *manifest) choose(chosen map[Part]options) {
	for part, o := range chosen {
		if o == (options{}) {
			continue
		}
		if m.Options == nil {
			m.Options = map[Part]options{}
		}
		m.Options[part] = o
	}
}

// dropChoices forgets the options of engines that nothing is left of.
func (m *manifest) dropChoices() {
	maps.DeleteFunc(m.Options, func(p Part, _ options) bool { return !m.has(p) })
	if len(m.Options) == 0 {
		m.Options = nil
	}
}

func (m manifest) find(path string) (record, bool) {
	for _, r := range m.Files {
		if r.Path == path {
			return r, true
		}
	}
	return record{}, false
}

// put replaces the record of a path.
func (m *manifest) put(r record) {
	m.forget(r.Path)
	m.Files = append(m.Files, r)
}

func (m *manifest) forget(path string) {
	m.Files = slices.DeleteFunc(m.Files, func(r record) bool { return r.Path == path })
}
