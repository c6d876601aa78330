package register

import (
	"fmt"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

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
func readContainerd(s action.Seen, recorded manifest.Edit) (c containerdConfig, imports []string, err error) {
	c = containerdConfig{there: s.There, bare: "version = 2\n"}
	if s.There {
		c.bare = withoutOurs(string(s.Text), recorded)
	}
	if c.table, err = config.ParseTOML(c.bare); err != nil {
		return c, nil, err
	}
	if c.version, err = versionOf(c.table); err != nil {
		return c, nil, err
	}
	if !s.There {
		return c, []string{importsByDefault}, nil
	}
	imports, err = importsOf(c.table)
	return c, imports, err
}

// withImports adds what the imported files say.
func (c containerdConfig) withImports(files []tree.TextFile) (containerdConfig, error) {
	for _, f := range files {
		if !c.there {
			return c, fmt.Errorf("is not there, and containerd 2.2 and later reads %s by itself only until it is: "+
				"make it first, with `containerd config default`", f.Path)
		}
		table, err := config.ParseTOML(string(f.Text))
		if err != nil {
			return c, fmt.Errorf("imports %s, which %w", f.Path, err)
		}
		if c.version == 2 && config.Below(table, "plugins", criPlugins[2]) != nil {
			return c, fmt.Errorf("is of version 2 and imports %s, which has settings of the CRI, too: "+
				"containerd 1 lets one file replace those of the other. Move them into one file, "+
				"or bring all to version 3 with `containerd config migrate` (containerd 2)", f.Path)
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
		return version, fmt.Errorf("is of version %d, mcpnet edits 2 and 3: "+
			"bring it there with `containerd config migrate` (containerd 2), or by hand", version)
	}
	return version, nil
}

// check refuses runtimes of mcpnet's names outside of mcpnet's part.
func (c containerdConfig) check() error {
	for _, table := range append([]map[string]any{c.table}, c.imported...) {
		for name := range c.runtimes(table) {
			if part.IsRuntime(name) {
				return fmt.Errorf("has, or imports, a table %s that mcpnet did not write: remove it",
					c.header("runtimes", name))
			}
		}
	}
	return nil
}

// cri is the table of the CRI's containerd settings, or nil.
func (c containerdConfig) cri(table map[string]any) map[string]any {
	return config.Below(table, "plugins", criPlugins[c.version], "containerd")
}

func (c containerdConfig) runtimes(table map[string]any) map[string]any {
	return config.Below(c.cri(table), "runtimes")
}

// header is the name of a table below the CRI's containerd settings.
func (c containerdConfig) header(keys ...string) string {
	return fmt.Sprintf("[plugins.%q.containerd%s]", criPlugins[c.version], config.Dotted(keys))
}

// defaultRuntime is the default runtime that all files together set, or empty.
func (c containerdConfig) defaultRuntime() string {
	name := ""
	for _, table := range append([]map[string]any{c.table}, c.imported...) {
		if s, ok := c.cri(table)[defaultRuntimeKey].(string); ok && s != "" {
			name = s
		}
	}
	return name
}

// settings are those of the default runtime. mcpnet's runtimes have the same: how cgroups are made, and what a
// privileged container gets.
func (c containerdConfig) settings() map[string]any {
	name := c.defaultRuntime()
	if name == "" || part.IsRuntime(name) {
		name = "runc"
	}
	all := map[string]any{}
	for _, table := range append([]map[string]any{c.table}, c.imported...) {
		config.Merge(all, config.Below(c.runtimes(table), name))
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

// tables are mcpnet's runtimes. They come with runc where a file of version 2 has no runtime: containerd 1.6 has runc
// by itself only as long as no other runtime is named.
func (c containerdConfig) tables() string {
	var b strings.Builder
	if c.version == 2 && len(c.runtimes(c.table)) == 0 {
		fmt.Fprintf(&b, "%s\nruntime_type = %q\n", c.header("runtimes", "runc"), runcShim)
	}
	for _, name := range part.RuntimeNames {
		settings := c.settings()
		config.Merge(settings, runtimeTable(name))
		config.WriteTable(&b, strings.TrimSuffix(c.header("runtimes", name), "]"), settings)
	}
	return b.String()
}

// runtimesHold is the least that the runtimes' table has to hold.
func (c containerdConfig) runtimesHold() map[string]any {
	all := map[string]any{}
	for _, name := range part.RuntimeNames {
		all[name] = runtimeTable(name)
	}
	return all
}

// runtimeTable is what makes a runtime mcpnet's.
func runtimeTable(name string) map[string]any {
	return map[string]any{"runtime_type": runcShim, "options": map[string]any{"BinaryName": part.RuntimePaths[name]}}
}
