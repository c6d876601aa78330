package docker_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
	"github.com/mcpnet/mcpnet/test/stress"
)

// faultLab is a lab whose server attacks from the first moment of its life, however often it is started, while a test
// breaks things.
type faultLab struct {
	*lab
	traffic *stress.Traffic
	network string // its id
	plugin  string // the directory of the built plugin
}

// The containers of a faultLab, all outside --ip-range.
const (
	faultGateway = "172.20.0.100"
	faultServer  = "172.20.0.50"
	faultOther   = "172.20.0.51"
	faultBridge  = "172.20.0.1"
	faultSubnet  = "172.20.0.0/16"
	faultImage   = "mcpnet-faults"
	// faultGateways are the gateway's ports: one with a service, and one for connections that the test holds.
	faultGateways = faultGateway + ":8080," + faultGateway + ":8443"
)

// newFaultLab starts an engine; its network is mcpnet's, or a plain bridge for the control.
func newFaultLab(t *testing.T, version, driver string) *faultLab {
	t.Helper()
	f := newFaultHost(t, version)
	if driver == "mcpnet" {
		f.InstallPlugin(f.plugin, "MCPNET_LOG=debug")
	}
	f.begin(driver)
	return f
}

// newFaultHost is an engine without a plugin, which has the built plugin and the scripts at hand.
func newFaultHost(t *testing.T, version string) *faultLab {
	t.Helper()
	root, plugin := testengine.ModuleRoot(t), testengine.BuildPlugin(t)
	world := testnet.NewWorld(t)
	l := &lab{t: t, world: world, version: version, Engine: testengine.Start(t, testengine.Options{
		Version: version, NetNS: world.Host.Path(), Binds: []string{root, plugin},
	})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("engine's log, its end:\n%s", tail(l.Logs(), 80))
		}
	})
	world.Internet.ServeHello(netip.AddrPortFrom(testnet.InternetHost, 443))
	l.Import(faultImage, testengine.GoFile(t, "/bin/probe", "test/demo/probe"),
		testengine.GoFile(t, "/bin/attacker", "test/stress/attacker"))
	return &faultLab{lab: l, plugin: plugin}
}

// installAnew replaces the plugin with the script of `make install`.
func (f *faultLab) installAnew() {
	f.t.Helper()
	if _, err := f.Exec(filepath.Join(testengine.ModuleRoot(f.t), "scripts/plugin-install.sh"), f.plugin); err != nil {
		f.t.Fatal(err)
	}
}

// begin makes the network and its containers; those that are not attackers come back like a service's.
func (f *faultLab) begin(driver string) {
	f.t.Helper()
	create := []string{"network", "create", "-d", driver, "--subnet", faultSubnet,
		"--ip-range", "172.20.240.0/20", "--gateway", faultBridge}
	wires := topology.WirePrefix
	if driver == "mcpnet" {
		// The attacker holds NET_ADMIN, for raw frames, and is to attack all the same.
		create = append(create, "-o", "mcpnet.gateway="+faultGateways, "-o", "mcpnet.caps.mode=audit")
	} else {
		create = append(create, "-o", "com.docker.network.bridge.name=mcp-secure")
		wires = "veth"
	}
	f.network = f.MustDocker(append(create, "mcp-secure")...)
	f.traffic = stress.New(f.t, f.world, wires)
	party := func(ip string) leak.Party {
		a := netip.MustParseAddr(ip)
		return leak.Party{MAC: net.HardwareAddr(topology.MACFor(f.network, a)), IP: a}
	}
	host, me := party(faultBridge), party(faultServer)
	if driver != "mcpnet" {
		host.MAC = f.world.Host.MAC("mcp-secure")
	}
	wire := topology.Endpoint{MAC: topology.HardwareAddr(me.MAC)}.PortMAC()
	scene := stress.Scene(netip.MustParsePrefix(faultSubnet), 8080, me, host, party(faultGateway), party(faultOther))
	f.traffic.Prepare(scene, net.HardwareAddr(wire))
	f.watchContainers()
	f.start("gateway", faultGateway, serving("8080", "9090"))
	f.start("other", faultOther, serving("3000"))
	f.start("server", faultServer, "exec /bin/attacker",
		"--cap-add", "NET_ADMIN", "--env", "STRESS_LOAD="+f.traffic.Text())
	f.standing(10 * time.Second)
}

func (f *faultLab) start(name, ip, script string, args ...string) {
	f.t.Helper()
	run := []string{"run", "-d", "--name", name, "--network", "mcp-secure", "--ip", ip,
		"--restart", "always", "--stop-signal", "KILL",
		"--mac-address", topology.MACFor(f.network, netip.MustParseAddr(ip)).String()}
	f.MustDocker(append(append(run, args...), faultImage, "sh", "-c", script)...)
}

// watchContainers observes every container's namespace from the moment it exists, whoever makes it and why.
func (f *faultLab) watchContainers() {
	stop, done := make(chan struct{}), make(chan struct{})
	f.t.Cleanup(func() { close(stop); <-done })
	known := map[string]bool{"default": true}
	go func() {
		defer close(done)
		for {
			entries, _ := os.ReadDir(f.Path("/run/docker/netns"))
			for _, e := range entries {
				if !known[e.Name()] {
					known[e.Name()] = f.observe(filepath.Join(f.Path("/run/docker/netns"), e.Name()))
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
}

// observe tells whether the namespace could be observed: its file exists a moment before it does.
func (f *faultLab) observe(path string) bool {
	done := make(chan bool, 1)
	go func() {
		observed := false
		defer func() { done <- observed }()
		f.traffic.Container(testnet.FromPath(tolerant{f.t}, path))
		observed = true
	}()
	return <-done
}

// tolerant is a T for what may fail.
type tolerant struct{ *testing.T }

func (s tolerant) Fatalf(string, ...any) { runtime.Goexit() }

// standing fails unless the permitted traffic passes.
func (f *faultLab) standing(limit time.Duration) {
	f.t.Helper()
	if !f.traffic.Passes(limit) {
		f.t.Errorf("the permitted traffic does not pass within %v", limit)
	}
}

// held fails for everything that leaked so far.
func (f *faultLab) held() {
	f.t.Helper()
	for _, l := range f.traffic.Leaks() {
		f.t.Errorf("leak: %s", l)
	}
}

// through runs a fault and reports what it did to the permitted traffic.
func (f *faultLab) through(name string, limit time.Duration, fault func()) {
	f.t.Helper()
	o := f.traffic.Through(limit, fault)
	f.t.Logf("%s: %-60s %s, %d leaks", f.version, name, o, len(f.traffic.Leaks()))
	if !o.Back {
		f.t.Errorf("%s: %s", name, o)
	}
}

// sound fails unless every promise can be seen from an ordinary container, too.
func (f *faultLab) sound() {
	f.t.Helper()
	f.reaches("other", faultGateway+":8080")
	f.denied("other", faultGateway+":9090")
	f.held()
}

// inSpace runs a shell line in the network's namespace.
func (f *faultLab) inSpace(line string) string {
	f.t.Helper()
	return strings.TrimSpace(f.space("mcp-secure").Run("sh", "-c", line))
}

// onHost runs a shell line on the host's network.
func (f *faultLab) onHost(line string) string {
	f.t.Helper()
	return strings.TrimSpace(f.host("sh", "-c", line))
}

// wire is the name of the wire of a container's address.
func (f *faultLab) wire(ip string) string {
	f.t.Helper()
	mac := topology.Endpoint{MAC: topology.MACFor(f.network, netip.MustParseAddr(ip))}.PortMAC()
	for line := range strings.Lines(f.inSpace("ip -br link")) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == mac.String() {
			name, _, _ := strings.Cut(fields[0], "@")
			return name
		}
	}
	f.t.Fatalf("no wire with %s", mac)
	return ""
}

// TestFaultsControl shows that a faultLab sees leaks: on a plain bridge network of the same engine nearly everything is
// one.
func TestFaultsControl(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		f := newFaultLab(t, version, "bridge")
		time.Sleep(2 * time.Second)
		leaks := f.traffic.Leaks()
		t.Logf("%s: plain bridge: %d of %d vectors leak", version, len(leaks), f.traffic.Vectors())
		if len(leaks) < f.traffic.Vectors()/3 {
			t.Errorf("only %d of %d vectors leak:\n%s", len(leaks), f.traffic.Vectors(), strings.Join(leaks, "\n"))
		}
	})
}
