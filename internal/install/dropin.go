package install

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// A drop-in is a configuration file that is mcpnet's alone, in a directory where an engine merges all of them.

const (
	crioPath   = "/etc/crio/crio.conf.d/90-mcpnet.conf"
	podmanPath = "/etc/containers/containers.conf.d/90-mcpnet.conf"
	header     = "# Written by `mcpnet install --runtime %s`; `mcpnet uninstall --runtime %[1]s` removes it.\n"
)

// dropin is a drop-in that was checked: it parses, and holds what it is for.
func dropin(e Engine, path, text string, holds map[string]any) file {
	var got map[string]any
	err := toml.Unmarshal([]byte(text), &got)
	if err == nil {
		err = keeps(holds, got, nil)
	}
	if err != nil {
		panic(fmt.Sprintf("%s as mcpnet would write it: %v", path, err)) // no input of the user's is in it
	}
	return file{part: e.part(), path: path, mode: 0o644, source: "mcpnet itself", content: []byte(text)}
}

// crioFiles register the runtime with CRI-O.
func crioFiles(o options) []file {
	var b strings.Builder
	fmt.Fprintf(&b, header, CRIO)
	if o.Default {
		fmt.Fprintf(&b, "[crio.runtime]\ndefault_runtime = %q\n", defaultName)
	}
	runtimes := map[string]any{}
	for _, name := range runtimeNames {
		fmt.Fprintf(&b, "[crio.runtime.runtimes.%s]\nruntime_path = %q\nruntime_type = \"oci\"\n", name, runtimePaths[name])
		runtimes[name] = map[string]any{"runtime_path": runtimePaths[name], "runtime_type": "oci"}
	}
	return []file{dropin(CRIO, crioPath, b.String(), nested(runtimes, "crio", "runtime", "runtimes"))}
}

// podmanFiles register the runtime with Podman, and with it the hooks where they are asked for. The hooks come first: a
// directory that the drop-in names is there by then.
func podmanFiles(o options) []file {
	var b strings.Builder
	fmt.Fprintf(&b, header, Podman)
	if o.Default || o.Hooks {
		b.WriteString("[engine]\n")
	}
	if o.Default {
		fmt.Fprintf(&b, "runtime = %q\n", defaultName)
	}
	var files []file
	if o.Hooks {
		b.WriteString(hooksSetting)
		files = hookFiles()
	}
	b.WriteString("[engine.runtimes]\n")
	runtimes := map[string]any{}
	for _, name := range runtimeNames {
		fmt.Fprintf(&b, "%s = [%q]\n", name, runtimePaths[name])
		runtimes[name] = []any{runtimePaths[name]}
	}
	return append(files, dropin(Podman, podmanPath, b.String(), nested(runtimes, "engine", "runtimes")))
}

// nested puts a table below keys.
func nested(table map[string]any, keys ...string) map[string]any {
	for i := len(keys) - 1; i >= 0; i-- {
		table = map[string]any{keys[i]: table}
	}
	return table
}
