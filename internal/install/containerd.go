package install

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// mcpnet's part of containerd's config.toml stands between two lines at its end. containerd 1.6 lets a file that is imported
// replace the whole table of a plugin, so that a drop-in would take the user's own settings away.
const (
	blockBegin = "# BEGIN mcpnet (removed by: mcpnet uninstall --runtime containerd)\n"
	blockEnd   = "# END mcpnet\n"
)

// criTables are the names of the CRI plugin's table by the version of the configuration.
var criTables = map[int64]string{2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime"}

// containerdConfig is the part of a configuration that is looked at.
type containerdConfig struct {
	Version int64 `toml:"version"`
	Plugins map[string]struct {
		Containerd struct {
			Default  string `toml:"default_runtime_name"`
			Runtimes map[string]struct {
				Options struct {
					BinaryName    string
					SystemdCgroup bool
				} `toml:"options"`
			} `toml:"runtimes"`
		} `toml:"containerd"`
	} `toml:"plugins"`
}

// containerdAdd registers the runtimes as handlers (containerd, docs/cri/config.md). What runc is told of cgroups they are told, too.
func containerdAdd(content []byte, setDefault, force bool) ([]byte, error) {
	if len(bytes.TrimSpace(content)) == 0 {
		content = append(content, "version = 2\n"...) // containerd 2 takes it, too
	}
	c, err := parseContainerd(content)
	if err != nil {
		return nil, err
	}
	table, ok := criTables[c.Version]
	if !ok {
		return nil, fmt.Errorf("version is %d, accepted: 2, 3; bring it up to date with `containerd config migrate`", c.Version)
	}
	cri := c.Plugins[table].Containerd
	for _, r := range registered {
		if _, taken := cri.Runtimes[r.name]; taken {
			return nil, fmt.Errorf("has a runtime %q that mcpnet did not write: remove its tables, then repeat this", r.name)
		}
	}
	if setDefault && cri.Default != "" && cri.Default != "runc" && !force {
		return nil, fmt.Errorf("default_runtime_name is %q: mcpnet-runtime runs runc or crun, unless /etc/mcpnet/runtime.json names another runtime's program; then repeat this with --force", cri.Default)
	}
	if content[len(content)-1] != '\n' {
		content = append(bytes.Clone(content), '\n')
	}
	after := append(bytes.Clone(content), containerdBlock(table, cri.Runtimes["runc"].Options.SystemdCgroup, setDefault)...)
	return after, checkContainerd(after, table, setDefault)
}

func containerdBlock(table string, systemd, setDefault bool) []byte {
	var b strings.Builder
	b.WriteString(blockBegin)
	if setDefault {
		fmt.Fprintf(&b, "[plugins.%q.containerd]\n  default_runtime_name = %q\n", table, selectiveName)
	}
	for _, r := range registered {
		name := fmt.Sprintf("plugins.%q.containerd.runtimes.%s", table, r.name)
		fmt.Fprintf(&b, "[%s]\n  runtime_type = \"io.containerd.runc.v2\"\n  [%s.options]\n    BinaryName = %q\n    SystemdCgroup = %v\n", name, name, r.path, systemd)
	}
	b.WriteString(blockEnd)
	return []byte(b.String())
}

// checkContainerd makes sure that the new text is read as it is meant.
func checkContainerd(text []byte, table string, setDefault bool) error {
	c, err := parseContainerd(text)
	if err != nil && setDefault {
		return fmt.Errorf("has the table [plugins.%q.containerd] already: set default_runtime_name = %q there yourself, and leave out --set-default", table, selectiveName)
	}
	if err != nil {
		return err
	}
	for _, r := range registered {
		if got := c.Plugins[table].Containerd.Runtimes[r.name].Options.BinaryName; got != r.path {
			return fmt.Errorf("cannot be extended at its end: runtime %s would run %q; add it by hand (examples/containerd)", r.name, got)
		}
	}
	return nil
}

func parseContainerd(content []byte) (c containerdConfig, err error) {
	if err := toml.Unmarshal(content, &c); err != nil {
		return c, fmt.Errorf("is not valid TOML: %w; mend it first", err)
	}
	return c, nil
}

// containerdStrip takes out what containerdAdd puts in.
func containerdStrip(content []byte) ([]byte, error) {
	before, rest, begins := bytes.Cut(content, []byte(blockBegin))
	if !begins {
		return content, nil
	}
	_, after, ends := bytes.Cut(rest, []byte(blockEnd))
	if !ends {
		return nil, fmt.Errorf("mcpnet's part has lost its last line (%s): remove it by hand, from %q on", strings.TrimSpace(blockEnd), strings.TrimSpace(blockBegin))
	}
	return append(bytes.Clone(before), after...), nil
}
