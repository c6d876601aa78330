// Command mcpnet, in a directory of CNI plugins or of netavark's plugins, attaches containers to mcpnet networks for
// containerd, nerdctl, CRI-O and Podman. CNI names what it wants in CNI_COMMAND, netavark in the first argument.
//
// It runs as one process for each call, needs no other process, and keeps its documents below /var/lib/mcpnet.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"github.com/containernetworking/cni/pkg/skel"
	cniversion "github.com/containernetworking/cni/pkg/version"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/logging"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/internal/version"
)

// attestations are what mcpnet-runtime attests of containers.
var attestations = attest.In("/run/" + attest.Dir)

const about = `mcpnet is a plugin for container engines: on its networks a server reaches its gateway and nothing else.

CNI runs it with CNI_COMMAND set (ADD, DEL, CHECK, GC, STATUS, VERSION); see examples/cni.
netavark runs it as: mcpnet create | setup NETNS | teardown NETNS | info; see examples/podman.
People use the command mcpnet in their PATH: mcpnet status.`

func main() {
	// A call takes milliseconds and does nothing in parallel. With fifty of these processes at once more threads only
	// cost time.
	runtime.GOMAXPROCS(1)
	// Standard output belongs to the protocol. Standard error engines keep or show.
	slog.SetDefault(logging.Standard(logging.Level(slog.LevelWarn)))
	if os.Getenv("CNI_COMMAND") == "" && len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("mcpnet-cni", version.String())
		return
	}
	if os.Getenv("CNI_COMMAND") == "" && len(os.Args) > 1 {
		os.Exit(netavark(os.Args[1:], os.Stdin, os.Stdout))
	}
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: del, Check: check, GC: gc, Status: status},
		cniversion.PluginSupports("0.3.1", "0.4.0", "1.0.0", "1.1.0"), fmt.Sprintf("CNI plugin mcpnet %s\n\n%s",
			version.String(), about))
}

// pins is where networks' namespaces are pinned.
func pins() ns.Pins { return ns.HostPins(surface.Namespaces(os.Getenv(surface.NamespacesVariable))) }

// openStore opens the store of a surface's networks. forgotten is called for each endpoint whose container ended
// without a call.
func openStore(ctx context.Context, s surface.Surface, forgotten func(topology.Endpoint)) (*percall.Front, error) {
	root := surface.Root(os.Getenv(surface.RootVariable))
	return percall.Open(ctx, percall.Config{StoreDir: s.Store(root), Owner: s.Owner, Pins: pins(),
		Bus: surface.SystemBus(os.Getenv(surface.SystemBusVariable)),
		Log: slog.Default(), OnForget: forgotten})
}

// attach attaches a container. An engine may use an id again, so the attestation of an earlier container is removed.
func attach(ctx context.Context, e *percall.Front, n topology.Network, a plan.Attachment) (topology.Network,
	topology.Endpoint, error) {
	if err := attestations.Forget(a.ID); err != nil {
		return n, a.Endpoint, err
	}
	n, p, err := e.Attach(ctx, n, a)
	if err == nil && n.Examined(p) {
		_ = attestations.Notify() // without the notification the service looks by itself, in seconds
	}
	return n, p, err
}
