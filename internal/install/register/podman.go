package register

import (
	"fmt"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

const podmanPath = "/etc/containers/containers.conf.d/90-mcpnet.conf"

// podmanFiles register the runtime with Podman, and the hooks where they are asked for. The hooks come first, so that
// the directory that the drop-in names is there by then.
func podmanFiles(o part.Options) []action.File {
	var b strings.Builder
	fmt.Fprintf(&b, header, part.Podman)
	if o.Default || o.Hooks {
		b.WriteString("[engine]\n")
	}
	if o.Default {
		fmt.Fprintf(&b, "runtime = %q\n", part.DefaultName)
	}
	var files []action.File
	if o.Hooks {
		b.WriteString(hooksSetting)
		files = hookFiles()
	}
	b.WriteString("[engine.runtimes]\n")
	runtimes := map[string]any{}
	for _, name := range part.RuntimeNames {
		fmt.Fprintf(&b, "%s = [%q]\n", name, part.RuntimePaths[name])
		runtimes[name] = []any{part.RuntimePaths[name]}
	}
	return append(files, dropin(part.Podman, podmanPath, b.String(), config.Nested(runtimes, "engine", "runtimes")))
}
