// Package docker_test runs the product as a user does: the managed plugin in real Docker engines, real containers, real
// packets. Every engine, and so every packet, is in network namespaces that the test made.
package docker_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
)

// versions are the engines of the everyday run; MCPNET_ENGINES (comma-separated) names others.
func versions() []string {
	if v := os.Getenv("MCPNET_ENGINES"); v != "" {
		return strings.Split(v, ",")
	}
	return []string{"20.10", "28.5"}
}

// onEveryEngine runs a test on each version, on a host of its own.
func onEveryEngine(t *testing.T, f func(*testing.T, *lab)) {
	onEveryVersion(t, func(t *testing.T, version string) { f(t, newLab(t, version)) })
}

// onEveryVersion runs a test for each version, at the same time: engines wait more than they work.
func onEveryVersion(t *testing.T, f func(t *testing.T, version string)) {
	each(t, versions(), f)
}

// besideOthers gives the latest version to a test that needs one engine: two such tests run at a time, as two versions
// do.
func besideOthers(t *testing.T) string {
	t.Helper()
	t.Parallel()
	return versions()[len(versions())-1]
}

// onComposeVersions is onEveryVersion for engines whose Debian has Compose: of the everyday run one, so that such tests
// run beside others, too.
func onComposeVersions(t *testing.T, f func(t *testing.T, version string)) {
	t.Parallel()
	each(t, slices.DeleteFunc(versions(), func(v string) bool { return v == "20.10" }), f)
}

func each(t *testing.T, versions []string, f func(t *testing.T, version string)) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f(t, version)
		})
	}
}

// lab is an engine with the plugin on a host with an internet.
type lab struct {
	*testengine.Engine
	t       *testing.T
	world   *testnet.World
	version string // of the engine, as in versions
}

// The outcomes of evidence, as the report of status names them.
const (
	conforms = string(topology.Conforms)
	violates = string(topology.Violates)
)

const image = "mcpnet-test"

func newLab(t *testing.T, version string) *lab {
	t.Helper()
	world := testnet.NewWorld(t)
	l := &lab{t: t, world: world, version: version, Engine: testengine.Start(t, testengine.Options{Version: version, NetNS: world.Host.Path()})}
	l.InstallPlugin(testengine.BuildPlugin(t), "MCPNET_LOG=debug")
	l.Import(image, testengine.GoFile(t, "/bin/probe", "test/demo/probe"), testengine.GoFile(t, "/bin/peer", "test/docker/peer"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("engine's log, its end:\n%s", tail(l.Logs(), 60))
		}
	})
	return l
}

// sub runs a part of a test, which fails by itself, on the same engine.
func (l *lab) sub(name string, f func(*lab)) {
	l.t.Run(name, func(t *testing.T) { f(&lab{Engine: l.Engine, t: t, world: l.world, version: l.version}) })
}

// MustDocker is the engine's, for the part of the test that runs.
func (l *lab) MustDocker(args ...string) string {
	l.t.Helper()
	out, err := l.Docker(args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

func tail(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// createNetwork makes the network of the README's story, with more arguments of docker network create.
func (l *lab) createNetwork(args ...string) {
	l.t.Helper()
	l.MustDocker(append(append([]string{"network", "create", "-d", "mcpnet", "--subnet", "172.20.0.0/16", "--ip-range", "172.20.240.0/20",
		"-o", "mcpnet.gateway=172.20.0.100:8080"}, args...), "mcp-secure")...)
}

// space is the namespace of a network, by its bridge's name.
func (l *lab) space(bridge string) *testnet.NS {
	return testnet.FromPath(l.t, l.Path("/run/netns/"+bridge))
}

// pins are the namespaces of networks, by their bridges' names.
func (l *lab) pins() (names []string) {
	l.t.Helper()
	entries, err := os.ReadDir(l.Path("/run/netns"))
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// inode tells the namespace of a network from one that was made later under its name.
func (l *lab) inode(bridge string) uint64 {
	l.t.Helper()
	inode, err := ns.Inode(l.Path("/run/netns/" + bridge))
	if err != nil {
		l.t.Fatal(err)
	}
	return inode
}

// clean fails unless no network is left on the host: links, routes, rules and namespaces.
func (l *lab) clean() {
	l.t.Helper()
	for _, left := range l.hostTraces() {
		l.t.Errorf("left behind: %s", left)
	}
	for _, left := range l.pins() {
		l.t.Errorf("left behind: namespace %s", left)
	}
}

// hostTraces are the lines about mcpnet among everything that the host's own namespace shows.
func (l *lab) hostTraces() (found []string) {
	l.t.Helper()
	for _, command := range []string{"ip -br link", "ip -br addr", "ip route show table all", "ip rule",
		"ip neigh show nud permanent", "nft -s list ruleset", "iptables-save", "ip6tables-save"} {
		words := strings.Fields(command)
		for line := range strings.Lines(l.host(words[0], words[1:]...)) {
			if strings.Contains(strings.ToLower(line), "mcp") {
				found = append(found, words[0]+": "+strings.TrimSpace(line))
			}
		}
	}
	return found
}

// bridgeAddr is the router's address on a network. Docker takes the first of --ip-range when it is not told another.
func (l *lab) bridgeAddr(bridge string) string {
	l.t.Helper()
	fields := strings.Fields(l.space(bridge).Run("ip", "-4", "-o", "addr", "show", "dev", topology.Router))
	if len(fields) < 4 {
		l.t.Fatalf("network %s has no router address", bridge)
	}
	addr, _, _ := strings.Cut(fields[3], "/")
	return addr
}

// host runs a program of the engine's Debian on the host: the nft of another one may be older than the rules there, and
// crash.
func (l *lab) host(name string, args ...string) string {
	l.t.Helper()
	out, err := l.Exec(name, args...)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// serving is a shell script of a container that serves HTTP on ports.
func serving(ports ...string) string {
	script := "echo hello > /tmp/index.html; "
	for _, p := range ports {
		script += fmt.Sprintf("httpd -p %s -h /tmp; ", p)
	}
	return script + "exec sleep 1000"
}

func (l *lab) run(name, script string, args ...string) {
	l.t.Helper()
	l.MustDocker(append(append([]string{"run", "-d", "--name", name}, args...), image, "sh", "-c", script)...)
}

// attempt is what test/demo/probe prints.
type attempt struct {
	Answered bool
	Detail   string
	Took     time.Duration
}

// probe tries to reach something from a container: kind is http or dns.
func (l *lab) probe(from, kind, target string) attempt {
	l.t.Helper()
	return l.attempt(from, "/bin/probe", kind, target)
}

// peer does what test/docker/peer can do.
func (l *lab) peer(from string, args ...string) attempt {
	l.t.Helper()
	return l.attempt(from, append([]string{"/bin/peer"}, args...)...)
}

func (l *lab) attempt(from string, command ...string) attempt {
	l.t.Helper()
	a, err := l.try(from, command...)
	if err != nil {
		l.t.Fatal(err)
	}
	return a
}

// try is attempt for goroutines, which must not end a test.
func (l *lab) try(from string, command ...string) (a attempt, err error) {
	out, err := l.Docker(append([]string{"exec", from}, command...)...)
	if err != nil {
		return a, fmt.Errorf("%w: %s", err, out)
	}
	return a, json.Unmarshal([]byte(out), &a)
}

func (l *lab) reaches(from, target string) {
	l.t.Helper()
	var a attempt
	for range 20 { // a service of a container needs a moment to listen
		if a = l.probe(from, "http", target); a.Answered {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.t.Errorf("%s does not reach %s: %+v", from, target, a)
}

func (l *lab) denied(from, target string) {
	l.t.Helper()
	a := l.probe(from, "http", target)
	if !a.Answered && a.Took > leak.AnswerLimit { // the machine may have been busy: a denial is in time the second time too
		a = l.probe(from, "http", target)
	}
	if a.Answered || a.Took > leak.AnswerLimit {
		l.t.Errorf("%s → %s: answered %v after %v: %s", from, target, a.Answered, a.Took, a.Detail)
	}
}
