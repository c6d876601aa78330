package register

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/part"
	"github.com/mcpnet/mcpnet/internal/install/tree"
)

const (
	podmanPath    = "/etc/containers/containers.conf.d/90-mcpnet.conf"
	podmanDropins = "/etc/containers/containers.conf.d/*.conf"
)

// podmanWants register the runtime with Podman, and the hooks where they are asked for. The hooks come first, so that
// the directory that the drop-in names is there by then.
func podmanWants(t tree.Tree, o part.Options) (w action.Wants, err error) {
	if !o.Hooks {
		w.Files = []action.File{podmanDropin(o, "")}
		return w, nil
	}
	files, before, err := readSettings(t)
	if err != nil {
		return w, err
	}
	setting, culprit, err := addHooksDir(files[:before], files[before:])
	if err != nil {
		w.Refuse(culprit, err)
		return w, nil
	}
	w.Files = append(hookFiles(), podmanDropin(o, setting))
	return w, nil
}

// addHooksDir is the line that adds mcpnet's directory of hooks to those of the user's files. It is refused when a file
// after mcpnet's replaces the list: the hooks would never run. An error is about the culprit, a file.
func addHooksDir(before, after []tree.TextFile) (setting, culprit string, err error) {
	var dirs hookDirs
	for _, f := range before {
		if err := dirs.read(string(f.Text)); err != nil {
			return "", f.Path, err
		}
	}
	setting = dirs.withOurs()
	if err := dirs.read("[engine]\n" + setting); err != nil {
		return "", podmanPath, err
	}
	for _, f := range after {
		if err := dirs.read(string(f.Text)); err != nil {
			return "", f.Path, err
		}
		if !slices.Contains(dirs.dirs, hooksDir) {
			return "", f.Path, fmt.Errorf("sets engine.hooks_dir, which replaces the one of %s: "+
				"add %q there and install once more", podmanPath, hooksDir)
		}
	}
	return setting, "", nil
}

// podmanDropin is mcpnet's file of Podman's settings.
func podmanDropin(o part.Options, hooksSetting string) action.File {
	var b strings.Builder
	fmt.Fprintf(&b, header, part.Podman)
	if o.Default || hooksSetting != "" {
		b.WriteString("[engine]\n")
	}
	if o.Default {
		fmt.Fprintf(&b, "runtime = %q\n", part.DefaultName)
	}
	b.WriteString(hooksSetting)
	b.WriteString("[engine.runtimes]\n")
	runtimes := map[string]any{}
	for _, name := range part.RuntimeNames {
		fmt.Fprintf(&b, "%s = [%q]\n", name, part.RuntimePaths[name])
		runtimes[name] = []any{part.RuntimePaths[name]}
	}
	return dropin(part.Podman, podmanPath, b.String(), config.Nested(runtimes, "engine", "runtimes"))
}
