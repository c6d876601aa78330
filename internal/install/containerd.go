package install

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// containerd's settings. Since version 2.0, which has config files of version 3, it merges an imported file into the others,
// table by table. Before, an import replaced a plugin's whole table, so that a drop-in with a runtime would take all other
// settings of the CRI away (containerd 1.6 and 1.7, services/server/config, mergeConfig). mcpnet's part of a file of version 2
// therefore stands in that file itself, between marks.
const (
	containerdPath   = "/etc/containerd/config.toml"
	containerdDropin = "/etc/containerd/conf.d/90-mcpnet.toml"
	// importsByDefault are what containerd 2.2 and later reads when there is no config.toml.
	importsByDefault = "/etc/containerd/conf.d/*.toml"
)

// criPlugins are where the CRI's runtimes are, by the version of the file.
var criPlugins = map[int64]string{2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}

const defaultRuntimeKey = "default_runtime_name"

// containerdConfig is what was read of containerd's settings.
type containerdConfig struct {
	there    bool
	bare     string           // config.toml without mcpnet's part
	table    map[string]any   // the same, parsed
	imported []map[string]any // the files that it imports, without mcpnet's
	version  int64
}

// readContainerd takes mcpnet's part out of a config.toml, parses the rest, and tells what it imports.
func readContainerd(s seen, recorded edit) (c containerdConfig, imports []string, err error) {
	c = containerdConfig{there: s.there, bare: "version = 2\n"}
	if s.there {
		c.bare = withoutOurs(string(s.text), recorded)
	}
	if c.table, err = parseTOML(c.bare); err != nil {
		return c, nil, err
	}
	if c.version, err = versionOf(c.table); err != nil {
		return c, nil, err
	}
	if !s.there {
		return c, []string{importsByDefault}, nil
	}
	imports, err = importsOf(c.table)
	return c, imports, err
}

// withImports adds what the files say that are imported.
func (c containerdConfig) withImports(files []textFile) (containerdConfig, error) {
	for _, f := range files {
		if !c.there {
			return c, fmt.Errorf("is not there, and containerd 2.2 and later reads %s by itself only until it is: make it first, with `containerd config default`", f.path)
		}
		table, err := parseTOML(string(f.text))
		if err != nil {
			return c, fmt.Errorf("imports %s, which %w", f.path, err)
		}
		if c.version == 2 && below(table, "plugins", criPlugins[2]) != nil {
			return c, fmt.Errorf("is of version 2 and imports %s, which has settings of the CRI, too: containerd 1 lets one file replace those of the other. "+
				"Move them into one file, or bring all to version 3 with `containerd config migrate` (containerd 2)", f.path)
		}
		c.imported = append(c.imported, table)
	}
	return c, c.check()
}

func versionOf(table map[string]any) (int64, error) {
	version, named := table["version"].(int64)
	if !named {
		version = 1
	}
	if criPlugins[version] == "" {
		return version, fmt.Errorf("is of version %d, mcpnet edits 2 and 3: bring it there with `containerd config migrate` (containerd 2), or by hand", version)
	}
	return version, nil
}

// check refuses runtimes of mcpnet's names that stand outside of mcpnet's part.
func (c containerdConfig) check() error {
	for _, table := range append([]map[string]any{c.table}, c.imported...) {
		for name := range c.runtimes(table) {
			if isOurs(name) {
				return fmt.Errorf("has, or imports, a table %s that mcpnet did not write: remove it", c.header("runtimes", name))
			}
		}
	}
	return nil
}

// cri is the table of the CRI's containerd settings, or nil.
func (c containerdConfig) cri(table map[string]any) map[string]any {
	return below(table, "plugins", criPlugins[c.version], "containerd")
}

func (c containerdConfig) runtimes(table map[string]any) map[string]any {
	return below(c.cri(table), "runtimes")
}

// header is the name of a table below the CRI's containerd settings.
func (c containerdConfig) header(keys ...string) string {
	return fmt.Sprintf("[plugins.%q.containerd%s]", criPlugins[c.version], dotted(keys))
}

// defaultName is the default runtime as all files together say it; empty: none does.
func (c containerdConfig) defaultName() string {
	name := ""
	for _, table := range append([]map[string]any{c.table}, c.imported...) {
		if s, ok := c.cri(table)[defaultRuntimeKey].(string); ok && s != "" {
			name = s
		}
	}
	return name
}

// settings are those of the default runtime, which ours takes over: how cgroups are made, what a privileged container gets.
func (c containerdConfig) settings() map[string]any {
	name := c.defaultName()
	if name == "" || isOurs(name) {
		name = "runc"
	}
	all := map[string]any{}
	for _, table := range append([]map[string]any{c.table}, c.imported...) {
		merge(all, below(c.runtimes(table), name))
	}
	if kind, ok := all["runtime_type"]; ok && kind != runcShim {
		all = map[string]any{}
	}
	delete(all, "runtime_path")
	delete(all, "runtime_engine")
	delete(all, "runtime_root")
	return all
}

// runcShim is the shim that runs runc, or what options.BinaryName names.
const runcShim = "io.containerd.runc.v2"

// tables are mcpnet's runtimes. Where no runtime was in a file of version 2 they bring runc with them: containerd 1.6 has it
// by itself only as long as there is no other.
func (c containerdConfig) tables() string {
	var b strings.Builder
	if c.version == 2 && len(c.runtimes(c.table)) == 0 {
		fmt.Fprintf(&b, "%s\nruntime_type = %q\n", c.header("runtimes", "runc"), runcShim)
	}
	for _, name := range runtimeNames {
		settings := c.settings()
		merge(settings, map[string]any{"runtime_type": runcShim, "options": map[string]any{"BinaryName": runtimePaths[name]}})
		writeTable(&b, strings.TrimSuffix(c.header("runtimes", name), "]"), settings)
	}
	return b.String()
}

// wantDefault tells whether mcpnet has to set the default runtime, or why it must not.
func (c containerdConfig) wantDefault(asked bool) (bool, error) {
	name := c.defaultName()
	switch {
	case !asked || name == defaultName:
		return false, nil
	case name == "", name == "runc" && c.version == 3: // a drop-in is stronger, and nothing is lost with it
		return true, nil
	}
	return false, fmt.Errorf("sets %s.%s to %q, or a file that it imports does: write %q there and install once more, or leave --set-default out",
		strings.Trim(c.header(), "[]"), defaultRuntimeKey, name, defaultName)
}

// containerdWants are the drop-in and the edit that register the runtime.
func containerdWants(c containerdConfig, o options) ([]file, change) {
	ch := change{part: Containerd.part(), path: containerdPath}
	setDefault, err := c.wantDefault(o.Default)
	if err != nil {
		ch.problem = err
		return nil, ch
	}
	if disabledCRI(c.table) {
		ch.note = "its disabled_plugins disable the CRI, and with it all of this"
	}
	if c.version == 2 {
		ch.editor = blockEditor{config: c, setDefault: setDefault}
		return nil, ch
	}
	text := fmt.Sprintf(header, Containerd) + "version = 3\n"
	if setDefault {
		text += c.header() + "\n" + defaultRuntimeKey + " = \"" + defaultName + "\"\n"
	}
	text += c.tables()
	ch.editor = importEditor{config: c}
	f := dropin(Containerd, containerdDropin, text, nested(c.runtimesHold(), "plugins", criPlugins[3], "containerd", "runtimes"))
	return []file{f}, ch
}

// runtimesHold is the least that the runtimes' table has to hold.
func (c containerdConfig) runtimesHold() map[string]any {
	all := map[string]any{}
	for _, name := range runtimeNames {
		all[name] = map[string]any{"runtime_type": runcShim, "options": map[string]any{"BinaryName": runtimePaths[name]}}
	}
	return all
}

func disabledCRI(table map[string]any) bool {
	disabled, _ := table["disabled_plugins"].([]any)
	return slices.ContainsFunc(disabled, func(id any) bool {
		return id == "cri" || id == criPlugins[2] || id == criPlugins[3]
	})
}

// blockEditor writes mcpnet's part into a file of version 2.
type blockEditor struct {
	config     containerdConfig
	setDefault bool
}

func (b blockEditor) put([]byte, edit) ([]byte, edit, error) {
	c := b.config
	text, tail := c.bare, c.tables()
	var e edit
	if b.setDefault {
		line := defaultRuntimeKey + " = \"" + defaultName + "\"\n"
		if at, ok := endOfHeader(text, "plugins", criPlugins[2], "containerd"); ok {
			e.Inserted = append(e.Inserted, begin+line+end)
			text = text[:at] + begin + line + end + text[at:]
		} else {
			tail = c.header() + "\n" + line + tail
		}
	}
	ours := "\n" + begin + tail + end
	if text != "" && !strings.HasSuffix(text, "\n") {
		ours = "\n" + ours
	}
	e.Inserted = append(e.Inserted, ours)
	after := text + ours
	hold := c.runtimesHold()
	holds := nested(map[string]any{"runtimes": hold}, "plugins", criPlugins[2], "containerd")
	if b.setDefault {
		c.cri(holds)[defaultRuntimeKey] = defaultName
	}
	return []byte(after), e, validTOML(c.table, after, holds)
}

func (blockEditor) take(text []byte, recorded edit) ([]byte, error) {
	return takeInserted(text, recorded)
}
func (blockEditor) empty(text []byte) bool { return emptyTOML(text) }

// importEditor has a file of version 3 import the drop-in.
type importEditor struct{ config containerdConfig }

func (i importEditor) put([]byte, edit) ([]byte, edit, error) {
	c := i.config
	var e edit
	patterns, err := importsOf(c.table)
	if err != nil {
		return nil, e, err
	}
	if slices.ContainsFunc(patterns, matchesDropin) {
		return []byte(c.bare), e, nil
	}
	entry := fmt.Sprintf("%q", containerdDropin)
	at, found := startOfArray(c.bare, "imports")
	switch {
	case found && len(patterns) > 0:
		entry += ", "
	case !found:
		at, entry = 0, begin+"imports = ["+entry+"]\n"+end
	}
	e.Inserted = []string{entry}
	after := c.bare[:at] + entry + c.bare[at:]
	rest := map[string]any{}
	merge(rest, c.table)
	delete(rest, "imports")
	return []byte(after), e, validTOML(rest, after, map[string]any{"imports": append([]any{containerdDropin}, anys(patterns)...)})
}

func (importEditor) take(text []byte, recorded edit) ([]byte, error) {
	return takeInserted(text, recorded)
}
func (importEditor) empty(text []byte) bool { return emptyTOML(text) }

// importsOf lists what a file imports.
func importsOf(table map[string]any) ([]string, error) {
	var out []string
	value, ok := table["imports"]
	list, isList := value.([]any)
	if ok && !isList {
		return nil, errors.New("has imports that are not a list: make them one")
	}
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("imports %v, which is not a path: mend it", v)
		}
		out = append(out, s)
	}
	return out, nil
}

// importPath is what a pattern means: containerd reads it from the file's own directory.
func importPath(pattern string) string {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(containerdPath), pattern)
	}
	return filepath.Clean(pattern)
}

func matchesDropin(pattern string) bool {
	ok, err := filepath.Match(importPath(pattern), containerdDropin)
	return ok && err == nil
}

// takeInserted takes mcpnet's part out, unless the default runtime would then be one that is none any more.
func takeInserted(text []byte, recorded edit) ([]byte, error) {
	if !strings.Contains(string(text), runtimeName) {
		return text, nil // somebody took it out already
	}
	after, err := removeInserted(string(text), recorded.Inserted)
	if err != nil {
		return nil, err
	}
	table, err := parseTOML(after)
	if err != nil {
		return nil, err
	}
	version, err := versionOf(table)
	if err != nil {
		return nil, err
	}
	c := containerdConfig{version: version, table: table}
	if name := c.defaultName(); isOurs(name) {
		return nil, fmt.Errorf("names %q as its %s: name another there, and uninstall once more", name, defaultRuntimeKey)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return []byte(after), nil
}
