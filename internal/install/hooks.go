package install

import (
	"encoding/json"
	"path/filepath"
)

// hooksDir is a directory of mcpnet's own: a file with the stage "precreate", which is Podman's, in a directory that CRI-O
// reads keeps CRI-O from starting.
const hooksDir = "/usr/local/share/mcpnet/hooks.d"

// hooksSetting names the usual directories, too: the list replaces Podman's own. Podman 4 knows no way to append to it.
const hooksSetting = `hooks_dir = ["/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d", "` + hooksDir + "\"]\n"

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

// hookFiles are the hook that hardens a container's configuration, and the one that stops a container whose configuration
// something else changed after it.
func hookFiles() []file {
	var files []file
	for _, h := range []struct{ name, verb, stage string }{
		{"90-mcpnet-precreate.json", "precreate", "precreate"}, {"91-mcpnet-verify.json", "verify", "createRuntime"},
	} {
		hook := ociHook{Version: "1.0.0", Stages: []string{h.stage}}
		hook.Hook.Path, hook.Hook.Args = runtimePath, []string{filepath.Base(runtimePath), "hook", h.verb}
		hook.When.Always = true
		text, _ := json.MarshalIndent(hook, "", "  ") // strings and a boolean only: it cannot fail
		files = append(files, file{part: Podman.part(), path: filepath.Join(hooksDir, h.name), mode: 0o644,
			source: "mcpnet itself", content: append(text, '\n')})
	}
	return files
}
