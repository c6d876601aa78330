package register

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// blockEditor writes mcpnet's part into a file of version 2.
type blockEditor struct {
	config     containerdConfig
	setDefault bool
}

func (b blockEditor) Put([]byte, manifest.Edit) ([]byte, manifest.Edit, error) {
	c := b.config
	text, tail := c.bare, c.tables()
	var e manifest.Edit
	if b.setDefault {
		line := defaultRuntimeKey + " = \"" + part.DefaultName + "\"\n"
		if at, ok := config.EndOfHeader(text, "plugins", criPlugins[2], "containerd"); ok {
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
	holds := config.Nested(map[string]any{"runtimes": c.runtimesHold()}, "plugins", criPlugins[2], "containerd")
	if b.setDefault {
		c.cri(holds)[defaultRuntimeKey] = part.DefaultName
	}
	return []byte(after), e, config.ValidTOML(c.table, after, holds)
}

func (blockEditor) Take(text []byte, recorded manifest.Edit) ([]byte, error) {
	return takeInserted(text, recorded)
}

func (blockEditor) Empty(text []byte) bool { return config.EmptyTOML(text) }

// importEditor has a file of version 3 import the drop-in.
type importEditor struct{ config containerdConfig }

func (i importEditor) Put([]byte, manifest.Edit) ([]byte, manifest.Edit, error) {
	c := i.config
	var e manifest.Edit
	patterns, err := importsOf(c.table)
	if err != nil {
		return nil, e, err
	}
	if slices.ContainsFunc(patterns, matchesDropin) {
		return []byte(c.bare), e, nil
	}
	entry := fmt.Sprintf("%q", containerdDropin)
	at, found := config.StartOfArray(c.bare, "imports")
	switch {
	case found && len(patterns) > 0:
		entry += ", "
	case !found:
		at, entry = 0, begin+"imports = ["+entry+"]\n"+end
	}
	e.Inserted = []string{entry}
	after := c.bare[:at] + entry + c.bare[at:]
	rest := map[string]any{}
	config.Merge(rest, c.table)
	delete(rest, "imports")
	imports := append([]any{containerdDropin}, config.Anys(patterns)...)
	return []byte(after), e, config.ValidTOML(rest, after, map[string]any{"imports": imports})
}

func (importEditor) Take(text []byte, recorded manifest.Edit) ([]byte, error) {
	return takeInserted(text, recorded)
}

func (importEditor) Empty(text []byte) bool { return config.EmptyTOML(text) }

// takeInserted takes mcpnet's part out, unless the default runtime would then be one that does not exist.
func takeInserted(text []byte, recorded manifest.Edit) ([]byte, error) {
	if !strings.Contains(string(text), part.RuntimeName) {
		return text, nil // somebody took it out already
	}
	after, err := removeInserted(string(text), recorded.Inserted)
	if err != nil {
		return nil, err
	}
	table, err := config.ParseTOML(after)
	if err != nil {
		return nil, err
	}
	version, err := versionOf(table)
	if err != nil {
		return nil, err
	}
	c := containerdConfig{version: version, table: table}
	if name := c.defaultRuntime(); part.IsRuntime(name) {
		return nil, fmt.Errorf("names %q as its %s: name another there, and uninstall once more",
			name, defaultRuntimeKey)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return []byte(after), nil
}
