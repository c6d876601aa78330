// Command mcpnet-runtime stands between a container engine and its OCI runtime: it takes from containers on mcpnet
// networks the capabilities that the policy does not name, sets no_new_privileges, and becomes the real runtime. It
// is also the precreate hook of Podman, and a hook that verifies what others may have changed.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/printed"
	"github.com/mcpnet/mcpnet/internal/version"
)

// selectiveName is the name under which the program acts on containers on mcpnet networks only, for an engine's default
// runtime. An engine's configuration cannot give a runtime arguments that all engines quote.
const selectiveName = "mcpnet-runtime-default"

const about = `mcpnet-runtime is an OCI runtime for container engines: it drops capabilities, then runs runc or crun.

  docker run --runtime mcpnet ...   a container that keeps the network's mcpnet.caps (NET_BIND_SERVICE by default) at most,
                                    with no_new_privileges; exec and health checks are held to the same
  mcpnet-runtime-default            the same program under this name, as an engine's default runtime: it acts on containers
                                    on mcpnet networks only, and leaves every other one alone
  mcpnet-runtime hook precreate     Podman's precreate hook: a container's configuration in, the hardened one out
  mcpnet-runtime hook verify        a createRuntime hook: fails when a container on an mcpnet network was not hardened

Register it with: mcpnet install --runtime docker | containerd | crio | podman
The real runtime is runc or crun, or the one in /etc/mcpnet/runtime.json: {"runtime": "/path/of/runc"}.
All other commands and options are the real runtime's, whose own help follows.
`

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "hook" {
		if err := hook(args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "mcpnet-runtime:", printed.Lines(err.Error()))
			os.Exit(1)
		}
		return
	}
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-v") {
		fmt.Println("mcpnet-runtime", version.String())
		if _, err := oci.FindRuntime(); err != nil {
			return
		} // the real runtime's version follows
	}
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
		fmt.Print("mcpnet-runtime ", version.String(), "\n\n", about)
	}
	call := oci.ParseCall(args)
	err := run(call, filepath.Base(os.Args[0]) == selectiveName)
	call.Report(err) // it only returns when something is wrong
	os.Exit(1)
}

// run does what a call needs and becomes the real runtime.
func run(call oci.Call, selective bool) error {
	real, err := oci.FindRuntime()
	if err != nil {
		return err
	}
	w := wrapper{call: call, selective: selective, real: real}
	if err := w.intercept(); err != nil {
		return err
	}
	return oci.Exec(real, call.Args)
}
