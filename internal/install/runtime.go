package install

import (
	"fmt"
	"strings"
)

// mcpnet-runtime is registered with engines, each in its own way: a drop-in file where the engine reads such, a change of its
// configuration where it does not.

// Engines are the parts that register mcpnet-runtime.
var Engines = []Part{Docker, Containerd, CRIO, Podman}

const (
	runtimeProgram = "mcpnet-runtime"
	// runtimePath is the program for who asks for it, and selectivePath the same one under the name by which it is an engine's
	// default runtime and leaves containers off mcpnet networks alone.
	runtimePath   = "/usr/local/libexec/mcpnet/" + runtimeProgram
	selectivePath = runtimePath + "-default"
	// runtimeName and selectiveName are what engines call them.
	runtimeName   = "mcpnet"
	selectiveName = "mcpnet-default"
)

// registered are the paths by their names.
var registered = []struct{ name, path string }{{runtimeName, runtimePath}, {selectiveName, selectivePath}}

const (
	crioDropIn   = "/etc/crio/crio.conf.d/90-mcpnet.conf"
	podmanDropIn = "/etc/containers/containers.conf.d/90-mcpnet.conf"
	hooksDir     = "/usr/local/share/mcpnet/hooks.d"
)

const dropInHead = "# Written by `mcpnet install --runtime %s`; `mcpnet uninstall --runtime %s` removes it.\n"

// crioConf registers the runtimes with CRI-O (crio.conf.d(5)).
func crioConf(setDefault bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, dropInHead, CRIO, CRIO)
	if setDefault {
		fmt.Fprintf(&b, "[crio.runtime]\ndefault_runtime = %q\n\n", selectiveName)
	}
	for _, r := range registered {
		fmt.Fprintf(&b, "[crio.runtime.runtimes.%s]\nruntime_path = %q\nruntime_type = \"oci\"\n\n", r.name, r.path)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}

// podmanConf registers the runtimes, and the hooks where they are asked for, with Podman (containers.conf(5)). A list of hooks'
// directories replaces Podman's own, which it therefore names, too.
func podmanConf(setDefault, hooks bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, dropInHead, Podman, Podman)
	if setDefault || hooks {
		b.WriteString("[engine]\n")
	}
	if setDefault {
		fmt.Fprintf(&b, "runtime = %q\n", selectiveName)
	}
	if hooks {
		fmt.Fprintf(&b, "hooks_dir = [\"/usr/share/containers/oci/hooks.d\", \"/etc/containers/oci/hooks.d\", %q]\n", hooksDir)
	}
	b.WriteString("\n[engine.runtimes]\n")
	for _, r := range registered {
		fmt.Fprintf(&b, "%s = [%q]\n", r.name, r.path)
	}
	return []byte(b.String())
}

// hookFile is a hook of Podman's (oci-hooks(5)). CRI-O does not start with a precreate hook in one of its directories, so
// these lie in one of their own.
func hookFile(verb, stage string) []byte {
	return fmt.Appendf(nil, `{
  "version": "1.0.0",
  "hook": {
    "path": %q,
    "args": [%q, "hook", %q]
  },
  "when": { "always": true },
  "stages": [%q]
}
`, runtimePath, runtimeProgram, verb, stage)
}

// runtimeFiles are the files of the engines in a request that are mcpnet's alone.
func (r Request) runtimeFiles(programs map[string]program) (files []file) {
	found := programs[runtimeProgram]
	own := func(part Part, path string, content []byte) {
		files = append(files, file{part: part, path: path, mode: 0o644, source: "mcpnet itself", content: content})
	}
	for _, path := range []string{runtimePath, selectivePath} {
		files = append(files, file{part: Runtime, path: path, mode: 0o755, source: found.path, content: found.content})
	}
	for _, part := range r.Parts {
		switch part {
		case CRIO:
			own(part, crioDropIn, crioConf(r.SetDefault))
		case Podman:
			own(part, podmanDropIn, podmanConf(r.SetDefault, r.Hooks))
			if r.Hooks {
				own(part, hooksDir+"/90-mcpnet-precreate.json", hookFile("precreate", "precreate"))
				own(part, hooksDir+"/91-mcpnet-verify.json", hookFile("verify", "createRuntime"))
			}
		}
	}
	return files
}

// edits are the changes of configurations that are not mcpnet's alone.
func (r Request) edits() (out []edit) {
	for _, part := range r.Parts {
		if c, ok := configurations[part]; ok {
			out = append(out, edit{part, c, r.SetDefault, r.Force})
		}
	}
	return out
}
