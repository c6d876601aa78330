package docker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestPins: each network's namespace is the host's to see, under the bridge's name, from the network's creation to its
// removal; where that cannot be, no network is made, and the message says what to do.
func TestPins(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		l := newBareLab(t, version)
		l.sub("private /run", (*lab).privateRun)
		l.sub("no CAP_SYS_ADMIN", (*lab).noCapability)
		l.InstallPlugin(testengine.BuildPlugin(t), "MCPNET_LOG=debug")
		l.sub("foreign namespace", (*lab).foreignNamespace)
		l.sub("life of a pin", (*lab).pinLife)
	})
}

// newBareLab is an engine without a plugin.
func newBareLab(t *testing.T, version string) *lab {
	t.Helper()
	world := testnet.NewWorld(t)
	l := &lab{t: t, world: world, version: version,
		Engine: testengine.Start(t, testengine.Options{Version: version, NetNS: world.Host.Path()})}
	l.Import(image, testengine.GoFile(t, "/bin/probe", "test/demo/probe"),
		testengine.GoFile(t, "/bin/peer", "test/docker/peer"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("engine's log, its end:\n%s", tail(l.Logs(), 60))
		}
	})
	return l
}

// inSandbox runs a program on the host's file tree.
func (l *lab) inSandbox(line string) string {
	l.t.Helper()
	out, err := l.Exec("sh", "-c", line)
	if err != nil {
		l.t.Fatal(err)
	}
	return out
}

// refusesNetwork tries to make the README's network: the message has to say why not, and nothing may be left of it.
func (l *lab) refusesNetwork(says ...string) {
	l.t.Helper()
	out, err := l.Docker("network", "create", "-d", "mcpnet", "--subnet", "172.20.0.0/16",
		"-o", "mcpnet.gateway=172.20.0.100:8080", "-o", "com.docker.network.bridge.name=mcp-secure", "mcp-secure")
	if err == nil {
		l.t.Fatalf("the network is made: %s", out)
	}
	for _, want := range says {
		if !strings.Contains(err.Error(), want) {
			l.t.Errorf("the message lacks %q: %v", want, err)
		}
	}
	if left := l.MustDocker("network", "ls", "--quiet", "--filter", "driver=mcpnet"); left != "" {
		l.t.Errorf("Docker has the network: %s", left)
	}
	for _, left := range l.hostTraces() {
		l.t.Errorf("half made: %s", left)
	}
	if left, _ := filepath.Glob(l.Path("/var/lib/docker/plugins/*/propagated-mount/v2/*/network.json")); len(left) > 0 {
		l.t.Errorf("half made: %v", left)
	}
}

func (l *lab) removePlugin() {
	l.t.Helper()
	l.MustDocker("plugin", "disable", "-f", testengine.PluginName)
	l.MustDocker("plugin", "rm", "-f", testengine.PluginName)
}

// privateRun: on a host whose /run does not propagate, a pin would vanish with the plugin.
func (l *lab) privateRun() {
	l.inSandbox("mount --make-rprivate /run")
	l.InstallPlugin(testengine.BuildPlugin(l.t))
	l.refusesNetwork("mount --make-rshared /run")
	if left := l.pins(); len(left) > 0 {
		l.t.Errorf("half made: %v", left)
	}
	// The remedy is one.
	l.inSandbox("mount --make-rshared /run")
	l.removePlugin()
	l.InstallPlugin(testengine.BuildPlugin(l.t))
	l.createNetwork()
	l.MustDocker("network", "rm", "mcp-secure")
	l.clean()
	l.removePlugin()
}

// noCapability is a plugin whose administrator took CAP_SYS_ADMIN out of its configuration.
func (l *lab) noCapability() {
	dir := testengine.BuildPlugin(l.t)
	file := filepath.Join(dir, "config.json")
	config, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	less := strings.Replace(string(config), `, "CAP_SYS_ADMIN"`, "", 1)
	if less == string(config) {
		l.t.Fatalf("the plugin asks for no CAP_SYS_ADMIN: %s", config)
	}
	if err := os.WriteFile(file, []byte(less), 0o644); err != nil {
		l.t.Fatal(err)
	}
	l.InstallPlugin(dir)
	l.refusesNetwork("CAP_SYS_ADMIN")
	if left := l.pins(); len(left) > 0 {
		l.t.Errorf("half made: %v", left)
	}
	l.removePlugin()
}

// foreignNamespace is one of the network's name that somebody else made: it is neither adopted nor deleted.
func (l *lab) foreignNamespace() {
	l.inSandbox("ip netns add mcp-secure && ip netns exec mcp-secure ip link add mine type bridge")
	inode := l.inode("mcp-secure")
	untouched := func() {
		l.t.Helper()
		if now := l.inode("mcp-secure"); now != inode {
			l.t.Errorf("the namespace is another one")
		}
		links := linksOf(l.t, l.space("mcp-secure"), "")
		if rules := l.space("mcp-secure").Run("nft", "list", "ruleset"); len(links) != 2 || rules != "" {
			l.t.Errorf("in the foreign namespace: %v %s", links, rules)
		}
	}
	l.refusesNetwork("mcp-secure", "did not make", "/run/netns/mcp-secure")
	untouched()
	// A network that names no bridge takes another name.
	l.createNetwork()
	other := segment{l, "mcp-secure", "172.20"}.bridge()
	if other == "mcp-secure" {
		l.t.Error("the foreign namespace is the network's")
	}
	untouched()
	l.MustDocker("network", "rm", "mcp-secure")
	untouched()
	if names := l.pins(); len(names) != 1 {
		l.t.Errorf("namespaces: %v", names)
	}
	l.inSandbox("ip netns delete mcp-secure")
	l.clean()
}

// named fails unless `ip netns` lists one namespace, of that name.
func (l *lab) named(want string) {
	l.t.Helper()
	listed := l.inSandbox("ip netns list")
	if name, _, _ := strings.Cut(listed, " (id:"); name != want {
		l.t.Errorf("ip netns list: %q, want %s", listed, want)
	}
}

// pinLife: `ip netns` shows the network, a plugin that is installed again adopts it, and it goes with the network.
func (l *lab) pinLife() {
	l.createNetwork()
	l.named("mcp-secure")
	if links := l.inSandbox("ip netns exec mcp-secure ip -br link"); !strings.Contains(links, "mcp-router") {
		l.t.Errorf("links in the namespace: %s", links)
	}
	l.run("gateway", serving("8080"), "--network", "mcp-secure", "--ip", "172.20.0.100")
	l.run("server", "exec sleep 1000", "--network", "mcp-secure")
	l.reaches("server", "172.20.0.100:8080")

	// iproute2 mounts the directory on itself when it first pins something there.
	l.inSandbox("ip netns add another")
	inode := l.inode("mcp-secure")
	l.removePlugin()
	if now := l.inode("mcp-secure"); now != inode {
		l.t.Error("the namespace went with the plugin")
	}
	l.reaches("server", "172.20.0.100:8080")
	l.InstallPlugin(testengine.BuildPlugin(l.t), "MCPNET_LOG=debug")
	l.endpoint("server", func(report.Endpoint) bool { return true }) // the engine's list is read
	l.run("late", "exec sleep 1000", "--network", "mcp-secure")
	l.reaches("late", "172.20.0.100:8080")
	l.denied("late", "server:8080")
	if now := l.inode("mcp-secure"); now != inode {
		l.t.Error("the plugin made another namespace than the one that lives")
	}
	l.MustDocker("rm", "-f", "server", "late", "gateway")
	l.MustDocker("network", "rm", "mcp-secure")
	l.named("another")
	l.inSandbox("ip netns delete another")
	l.clean()
	if _, err := ns.Inode(l.Path("/run/netns/mcp-secure")); err == nil {
		l.t.Error("the pin is left")
	}
}
