package register

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

// The files of containerd's settings. containerd 2.0 and later has config files of version 3, and merges an imported
// file into the others, table by table. Before, an import replaced a plugin's whole table: a drop-in with a runtime
// would remove all other settings of the CRI (containerd 1.6 and 1.7, services/server/config, mergeConfig). mcpnet's
// part of a file of version 2 is therefore in that file itself, between marks.
const (
	containerdPath   = "/etc/containerd/config.toml"
	containerdDropin = "/etc/containerd/conf.d/90-mcpnet.toml"
	// importsByDefault are what containerd 2.2 and later reads when there is no config.toml.
	importsByDefault = "/etc/containerd/conf.d/*.toml"
)

// criPlugins are where the CRI's runtimes are, by the version of the file.
var criPlugins = map[int64]string{2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}

// containerdWants reads containerd's settings, which decide where mcpnet's part goes.
func containerdWants(t tree.Tree, m manifest.Manifest, o part.Options) (w action.Wants, err error) {
	s, err := t.See(containerdPath)
	if err != nil {
		return w, err
	}
	if s.What != "" { // the plan says so, and refuses it
		w.Changes = []action.Change{{Part: part.Containerd.Part(), Path: containerdPath}}
		return w, nil
	}
	recorded, _ := m.FindEdit(containerdPath)
	c, patterns, err := readContainerd(s, recorded)
	if err == nil {
		var files []tree.TextFile
		if files, err = readImports(t, patterns); err != nil {
			return w, err
		}
		c, err = c.withImports(files)
	}
	if err == nil {
		w, err = c.wants(o)
	}
	if err != nil {
		w.Refuse(containerdPath, err)
	}
	return w, nil
}

// readImports reads the imported files except mcpnet's own, in containerd's order.
func readImports(t tree.Tree, patterns []string) ([]tree.TextFile, error) {
	var files []tree.TextFile
	for _, pattern := range patterns {
		found, err := t.ReadMatching(importPath(pattern), containerdDropin)
		if errors.Is(err, filepath.ErrBadPattern) {
			return nil, fmt.Errorf("%s: imports: %q: %w: mend it", t.At(containerdPath), pattern, err)
		}
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// wants are the drop-in and the edit that register the runtime. Files of version 2 have the edit only.
func (c containerdConfig) wants(o part.Options) (w action.Wants, err error) {
	setDefault, err := c.wantDefault(o.Default)
	if err != nil {
		return w, err
	}
	ch := action.Change{Part: part.Containerd.Part(), Path: containerdPath}
	if disabledCRI(c.table) {
		ch.Note = "its disabled_plugins disable the CRI, and with it all of this"
	}
	if c.version == 2 {
		ch.Editor = blockEditor{config: c, setDefault: setDefault}
		w.Changes = []action.Change{ch}
		return w, nil
	}
	text := fmt.Sprintf(header, part.Containerd) + "version = 3\n"
	if setDefault {
		text += c.header() + "\n" + defaultRuntimeKey + " = \"" + part.DefaultName + "\"\n"
	}
	text += c.tables()
	ch.Editor = importEditor{config: c}
	holds := config.Nested(c.runtimesHold(), "plugins", criPlugins[3], "containerd", "runtimes")
	f := dropin(part.Containerd, containerdDropin, text, holds)
	w.Files, w.Changes = []action.File{f}, []action.Change{ch}
	return w, nil
}

// wantDefault tells whether mcpnet has to set the default runtime, or why it must not.
func (c containerdConfig) wantDefault(asked bool) (bool, error) {
	name := c.defaultRuntime()
	switch {
	case !asked || name == part.DefaultName:
		return false, nil
	case name == "", name == "runc" && c.version == 3: // the drop-in wins, and nothing is lost
		return true, nil
	}
	return false, fmt.Errorf("sets %s.%s to %q, or a file that it imports does: "+
		"write %q there and install once more, or leave --set-default out",
		strings.Trim(c.header(), "[]"), defaultRuntimeKey, name, part.DefaultName)
}

func disabledCRI(table map[string]any) bool {
	disabled, _ := table["disabled_plugins"].([]any)
	return slices.ContainsFunc(disabled, func(id any) bool {
		return id == "cri" || id == criPlugins[2] || id == criPlugins[3]
	})
}

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
