// Command demo shows what a server on an mcpnet network reaches: it makes the
// network of the README, with a gateway and two servers, lets a server try one
// thing after the other and prints what came of it beside what came of the same
// attempt on an ordinary Docker network.
//
//	demo [-docker 28.5]    in an engine of its own, behind an internet of its own
//	DOCKER_HOST=… demo     in an engine where mcpnet is installed
//
// It exits 0 only when everything was as expected, and leaves nothing behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

func main() {
	version := flag.String("docker", "28.5", "Docker release to run: 20.10, 28.5 or 29")
	plugin := flag.String("plugin", "", "directory of the plugin (default: built from the sources)")
	verbose := flag.Bool("v", false, "print what is being done, and the engine's log when it fails")
	flag.Parse()
	log := io.Discard
	if *verbose {
		log = os.Stderr
	}
	err := testnet.RunProgram("demo", log, func(ctx context.Context, p *testnet.Program) {
		if err := demonstrate(ctx, p, *version, *plugin); err != nil {
			p.Fatalf("%v", err)
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demonstrate sets the scene and runs the attempts in it.
func demonstrate(ctx context.Context, p *testnet.Program, version, plugin string) error {
	var s *scene
	if os.Getenv("DOCKER_HOST") != "" {
		s = attachedScene(p)
	} else {
		s = ownScene(p, version, plugin)
	}
	s.ctx = ctx
	s.populate()
	results, err := s.run(ctx, s.attempts())
	if err != nil {
		return err
	}
	report(os.Stdout, results)
	if asked := s.leakedNames(); len(asked) > 0 {
		return fmt.Errorf("the internet's name server was asked for %s", strings.Join(asked, ", "))
	}
	return verdict(results)
}

// ownScene runs an engine on a host of its own, with an internet behind it.
func ownScene(p *testnet.Program, version, plugin string) *scene {
	fmt.Printf("Docker %s on a host made of network namespaces; the internet is one too.\n", version)
	world := testnet.NewWorld(p)
	s := &scene{p: p, world: world, names: serveInternet(world)}
	s.engine = testengine.Start(p, testengine.Options{
		Version: version, NetNS: world.Host.Path(),
		ResolvConf: "nameserver " + testnet.Resolver.String() + "\n",
	})
	p.Cleanup(func() { p.Logf("engine log:\n%s", s.engine.Logs()) })
	if plugin == "" {
		plugin = testengine.BuildPlugin(p)
	}
	s.engine.InstallPlugin(plugin)
	return s
}

// attachedScene uses the engine at DOCKER_HOST, which has its plugin already.
func attachedScene(p *testnet.Program) *scene {
	fmt.Printf("The engine at %s.\n", os.Getenv("DOCKER_HOST"))
	return &scene{p: p, engine: testengine.Attach(p)}
}
