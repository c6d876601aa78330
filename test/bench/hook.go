package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// hookPath is where the engines of these sections have mcpnet-runtime.
const hookPath = "/usr/local/bin/mcpnet-runtime"

// How many turns there are for each start of other sections: milliseconds are looked for in the noise of hundreds,
// most of it where a whole container is made.
const (
	runTurns  = 12
	hookTurns = 4
)

// contender is a docker command that is measured in turns with others.
type contender struct {
	name string
	args []string
}

// hookCosts measures what the runtime and the admission add to starts and to execs.
func hookCosts(ctx context.Context, b *bench, t *testnet.Program) {
	plugin, program := testengine.BuildPlugin(t), testengine.GoFile(t, "", "hook").Source
	for _, version := range b.Versions {
		if _, err := testengine.Tree(version); err != nil {
			progress("  left out: %v", err)
			continue
		}
		progress("  docker %s", version)
		e := testengine.Start(t, testengine.Options{Version: version, NetNS: testnet.NewWorld(t).Host.Path(),
			DaemonJSON: fmt.Sprintf(`{"runtimes": {"mcpnet": {"path": %q}}}`, hookPath), Programs: map[string]string{hookPath: program}})
		e.InstallPlugin(plugin)
		e.Import(image)
		hookNetwork(e, "audit", "172.20", "audit")
		hookNetwork(e, "enforce", "172.21", "enforce")
		for _, runtime := range []string{"runc", "mcpnet"} {
			e.MustDocker("run", "-d", "--name", "exec-"+runtime, "--runtime", runtime, "--network", "audit", image, "sleep", "100000")
		}
		run := func(name, runtime, network string, command ...string) contender {
			return contender{name, append([]string{"run", "--rm", "--runtime", runtime, "--network", network, image}, command...)}
		}
		asks := func(subnet string) []string {
			return []string{"wget", "-q", "-O", "/dev/null", "http://" + subnet + ".0.100:8080/"}
		}
		groups := [][]contender{
			{run("run runc", "runc", "audit", "true"), run("run mcpnet", "mcpnet", "audit", "true")},
			{{"exec runc", []string{"exec", "exec-runc", "true"}}, {"exec mcpnet", []string{"exec", "exec-mcpnet", "true"}}},
			{run("ask audit", "mcpnet", "audit", asks("172.20")...), run("ask enforce", "mcpnet", "enforce", asks("172.21")...)},
		}
		for i, turns := range []int{runTurns, hookTurns, hookTurns} {
			inTurns(ctx, b, t, e, version, turns*b.Starts, groups[i])
		}
		inTurns(ctx, b, t, e, version, b.Starts, []contender{byHand("by hand audit", "audit", asks("172.20")), byHand("by hand enforce", "enforce", asks("172.21"))})
		b.hookRows(version)
	}
}

func hookNetwork(e *testengine.Engine, name, subnet, mode string) {
	e.MustDocker("network", "create", "-d", "mcpnet", "--subnet", subnet+".0.0/16", "--ip-range", subnet+".240.0/20",
		"-o", "mcpnet.gateway="+subnet+".0.100:8080", "-o", "mcpnet.caps.mode="+mode, name)
	e.MustDocker("run", "-d", "--name", "gateway-"+name, "--network", name, "--ip", subnet+".0.100", image,
		"sh", "-c", "echo hello > /tmp/index.html; httpd -p 8080 -h /tmp; exec sleep 100000")
}

// byHand is a container that conforms without mcpnet-runtime, so that nobody knows before its start.
func byHand(name, network string, command []string) contender {
	return contender{name, append([]string{"run", "--rm", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", network, image}, command...)}
}

// inTurns runs the commands of a group one after the other, again and again.
func inTurns(ctx context.Context, b *bench, t *testnet.Program, e *testengine.Engine, version string, turns int, group []contender) {
	group = slices.Clone(group)
	for i := range turns + 1 {
		for _, c := range group {
			if ctx.Err() != nil {
				t.Fatalf("interrupted")
			}
			began := time.Now()
			_, err := e.Docker(c.args...)
			must(t, err, "docker %s: %s", version, c.name)
			if i > 0 { // the first fills caches
				b.results.samples.add(c.name+" "+version, milliseconds(time.Since(began)))
			}
		}
		slices.Reverse(group)
	}
}

func (b *bench) hookRows(version string) {
	add := func(what, value, peer, beside string, most *target) {
		b.results.adds(row{ID: value + " " + version, Section: "runtime", What: what + ", Docker " + version, Unit: "ms", Beside: beside, Target: most}, value+" "+version, peer+" "+version)
	}
	add("`docker run` with mcpnet-runtime takes more", "run mcpnet", "run runc", "with runc", atMost(8))
	add("`docker exec` with mcpnet-runtime takes more", "exec mcpnet", "exec runc", "with runc", atMost(5))
	add("`docker run` of a request to the gateway takes more where it has to be admitted", "ask enforce", "ask audit", "mcpnet.caps.mode=audit", nil)
	add("the same, hardened by hand", "by hand enforce", "by hand audit", "mcpnet.caps.mode=audit", nil)
}
