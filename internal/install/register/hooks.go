package register

import (
	"encoding/json"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// hooksDir is a directory of mcpnet's own. CRI-O does not start when a directory that it reads has a hook of the stage
// "precreate", which only Podman knows.
const hooksDir = "/usr/local/share/mcpnet/hooks.d"

// ociHook is a file of oci-hooks(5), version 1.0.0.
type ociHook struct {
	Version string `json:"version"`
	Hook    struct {
		Path string   `json:"path"`
		Args []string `json:"args"`
	} `json:"hook"`
	When struct {
		Always bool `json:"always"`
	} `json:"when"`
	Stages []string `json:"stages"`
}

// hookFiles are two hooks: one hardens a container's configuration, the other stops a container whose configuration
// something else changed after that.
func hookFiles() []action.File {
	var files []action.File
	for _, h := range []struct{ name, verb, stage string }{
		{"90-mcpnet-precreate.json", "precreate", "precreate"}, {"91-mcpnet-verify.json", "verify", "createRuntime"},
	} {
		hook := ociHook{Version: "1.0.0", Stages: []string{h.stage}}
		hook.Hook.Path, hook.Hook.Args = part.RuntimePath, []string{filepath.Base(part.RuntimePath), "hook", h.verb}
		hook.When.Always = true
		text, _ := json.MarshalIndent(hook, "", "  ") // strings and a boolean only: it cannot fail
		files = append(files, ownFile(part.Podman, filepath.Join(hooksDir, h.name), append(text, '\n')))
	}
	return files
}
