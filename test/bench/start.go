package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// image is what the containers run.
const image = "mcpnet-bench"

// start runs containers on both networks of each engine in turns.
func start(ctx context.Context, b *bench, t *testnet.Program) {
	plugin := testengine.BuildPlugin(t)
	for _, version := range b.Versions {
		if _, err := testengine.Tree(version); err != nil {
			progress("  left out: %v", err)
			continue
		}
		e := engineWithNetworks(t, version, plugin)
		release := e.MustDocker("version", "--format", "{{.Server.Version}}")
		progress("  docker %s", release)
		b.results.machine.Software = append(b.results.machine.Software, "Docker "+release)
		networks := []string{"mcpnet", "plain"}
		for i := range b.Starts + 1 {
			for _, name := range networks {
				if ctx.Err() != nil {
					t.Fatalf("interrupted")
				}
				began := time.Now()
				_, err := e.Docker("run", "--rm", "--network", name, image, "true")
				must(t, err, "docker %s: %s", version, name)
				if i > 0 { // the first fills caches
					b.results.samples.add(fmt.Sprintf("start %s %s", version, name), milliseconds(time.Since(began)))
				}
			}
			slices.Reverse(networks) // each of the two follows the other's removal as often
		}
		b.results.compare(row{ID: "start-" + version, Section: "start", What: "Docker " + version, Unit: "ms", Beside: "bridge", Target: atMost(0.95)},
			fmt.Sprintf("start %s mcpnet", version), fmt.Sprintf("start %s plain", version))
	}
}

func engineWithNetworks(t *testnet.Program, version, plugin string) *testengine.Engine {
	e := testengine.Start(t, testengine.Options{Version: version, NetNS: testnet.NewWorld(t).Host.Path()})
	e.InstallPlugin(plugin)
	e.Import(image)
	e.MustDocker("network", "create", "-d", "mcpnet", "--subnet", subnet.String(), "--ip-range", "172.20.240.0/20",
		"-o", "mcpnet.gateway="+service.String(), "mcpnet")
	// Docker has a network "bridge" already, without a name server of its own; a network that a user makes has one.
	e.MustDocker("network", "create", "-d", "bridge", "--subnet", "172.21.0.0/16", "plain")
	return e
}
