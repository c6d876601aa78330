package register

import (
	"fmt"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

const crioPath = "/etc/crio/crio.conf.d/90-mcpnet.conf"

// crioFiles register the runtime with CRI-O.
func crioFiles(o part.Options) []action.File {
	var b strings.Builder
	fmt.Fprintf(&b, header, part.CRIO)
	if o.Default {
		fmt.Fprintf(&b, "[crio.runtime]\ndefault_runtime = %q\n", part.DefaultName)
	}
	runtimes := map[string]any{}
	for _, name := range part.RuntimeNames {
		path := part.RuntimePaths[name]
		fmt.Fprintf(&b, "[crio.runtime.runtimes.%s]\nruntime_path = %q\nruntime_type = \"oci\"\n", name, path)
		runtimes[name] = map[string]any{"runtime_path": path, "runtime_type": "oci"}
	}
	holds := config.Nested(runtimes, "crio", "runtime", "runtimes")
	return []action.File{dropin(part.CRIO, crioPath, b.String(), holds)}
}
