package engines_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
	"github.com/mcpnet/mcpnet/test/leak"
)

const (
	runtimePath   = "/usr/local/libexec/mcpnet/mcpnet-runtime" // as in examples/
	selectivePath = "/usr/local/libexec/mcpnet/mcpnet-runtime-default"
)

// hookPrograms are the programs of a host with mcpnet-runtime, mcpnet's service and its command.
func hookPrograms(t *testing.T, more map[string]string) map[string]string {
	t.Helper()
	hook := testengine.GoFile(t, "", "hook").Source
	out := map[string]string{runtimePath: hook, selectivePath: hook, servicePath: service(t),
		"/usr/local/bin/mcpnet": testengine.GoFile(t, "", "cmd/mcpnet").Source}
	for path, source := range more {
		out[path] = source
	}
	return out
}

// asUnit runs a program with what mcpnet.service leaves it of the system: capabilities, a mount namespace that gets
// the host's mounts, little that can be written, no devices, and a host's name of its own (ProtectHostname=). What
// systemd does beyond that needs systemd.
const asUnit = `mkdir -p /var/lib/mcpnet
mount --bind /var/lib/mcpnet /var/lib/mcpnet
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /
mount -t tmpfs -o ro none /dev
exec setpriv --bounding-set="-all$0" --inh-caps=-all --no-new-privs "$@"`

// unitCapabilities are those that the shipped unit leaves the service, as setpriv has them.
func unitCapabilities(t *testing.T) (added []string) {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join(testengine.ModuleRoot(t), "internal/install/mcpnet.service"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(unit)) {
		if names, ok := strings.CutPrefix(line, "CapabilityBoundingSet="); ok {
			for _, name := range strings.Fields(names) {
				added = append(added, strings.ToLower(strings.TrimPrefix(name, "CAP_")))
			}
		}
	}
	return added
}

// startService runs the resident process as its unit does.
func startService(t *testing.T, e executor) {
	t.Helper()
	startServiceWith(t, e, unitCapabilities(t))
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := e.Exec("tail", "-n", "40", "/tmp/mcpnet-plugin.log")
			t.Logf("service's log, its end:\n%s", out)
		}
	})
}

// startServiceWith runs it with these capabilities, and gives what ends it.
func startServiceWith(t *testing.T, e executor, capabilities []string) (stop func()) {
	t.Helper()
	write(t, e, "/tmp/as-unit", asUnit)
	must(t, e, "sh", "-c", `nohup unshare --mount --uts --propagation slave sh -e -c "$(cat /tmp/as-unit)" "$0" mcpnet-plugin -docker "" > /tmp/mcpnet-plugin.log 2>&1 &
		echo $! > /tmp/mcpnet-plugin.pid
		for i in $(seq 100); do grep -q ready /tmp/mcpnet-plugin.log && exit; sleep 0.1; done; cat /tmp/mcpnet-plugin.log >&2; exit 1`,
		",+"+strings.Join(capabilities, ",+"))
	return func() { must(t, e, "sh", "-c", `kill $(cat /tmp/mcpnet-plugin.pid)`) }
}

// withoutSight is a service whose unit lacks the capability to see containers' namespaces: it says so, and lets nobody
// in who waits for it.
func withoutSight(t *testing.T, e executor) (stop func()) {
	t.Helper()
	less := slices.DeleteFunc(unitCapabilities(t), func(name string) bool { return name == "sys_ptrace" })
	if len(less) == len(unitCapabilities(t)) {
		t.Error("the unit lacks CAP_SYS_PTRACE")
	}
	return startServiceWith(t, e, less)
}

// wantEvidence waits until status says that evidence is lacking for a reason, or not.
func wantEvidence(t *testing.T, e executor, lacking string) {
	t.Helper()
	var last []report.Finding
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, _ := e.Exec("mcpnet", "status", "--json")
		var s report.Status
		if json.Unmarshal([]byte(out), &s) != nil {
			continue
		}
		last = slices.DeleteFunc(s.Findings, func(f report.Finding) bool {
			return f.Code != report.CodeEvidence && f.Code != report.CodeUnwatched
		})
		says := func(f report.Finding) bool { return strings.Contains(f.Meaning, lacking) }
		if lacking == "" && len(last) == 0 || lacking != "" && slices.ContainsFunc(last, says) {
			return
		}
	}
	t.Errorf("evidence: %+v, want %q", last, lacking)
}

// wantHard fails where a process holds anything but NET_BIND_SERVICE, or may gain more.
func wantHard(t *testing.T, what, status string) {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		got[key] = strings.TrimSpace(value)
	}
	const bind, none = "0000000000000400", "0000000000000000"
	inheritable := got["CapInh"] == bind || got["CapInh"] == none
	if got["CapBnd"] != bind || got["CapEff"] != bind || got["CapPrm"] != bind || !inheritable || got["CapAmb"] != none || got["NoNewPrivs"] != "1" {
		t.Errorf("%s: bounding %s effective %s permitted %s inheritable %s ambient %s no_new_privs %s", what,
			got["CapBnd"], got["CapEff"], got["CapPrm"], got["CapInh"], got["CapAmb"], got["NoNewPrivs"])
	}
}

// The outcomes of evidence, as the report of status names them.
const (
	conforms = string(topology.Conforms)
	violates = string(topology.Violates)
)

// wantAdmission waits until the endpoint with an address is judged as wanted.
func wantAdmission(t *testing.T, e executor, address string, state string, reason string) {
	t.Helper()
	var last report.Endpoint
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, err := e.Exec("mcpnet", "status", "--json")
		var s struct{ Networks []report.Network }
		if json.Unmarshal([]byte(out), &s) != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, n := range s.Networks {
			for _, p := range n.Endpoints {
				if p.Address == address {
					last = p
				}
			}
		}
		if last.Admission.State == state && strings.Contains(last.Admission.Reason, reason) {
			return
		}
	}
	t.Errorf("endpoint %s: %+v, want %q %q", address, last, state, reason)
}

// hardByHand is what a user without the runtime has to remember.
var hardByHand = []string{"--cap-drop", "all", "--cap-add", "NET_BIND_SERVICE", "--security-opt", "no-new-privileges"}

func enforcing() map[string]string {
	p := defaultPolicy()
	p["caps.mode"] = "enforce"
	return p
}

const cat = "cat /proc/self/status"

// TestHookPodman: capabilities and admission on both of Podman's back ends, with the runtime and with the precreate
// hook.
func TestHookPodman(t *testing.T) {
	for name, open := range map[string]func(*testing.T, *testnet.World) *podmanLab{
		"4.3 cni": func(t *testing.T, w *testnet.World) *podmanLab {
			p := testengine.StartPodman(t, testengine.PodmanOptions{Version: "4.3", Host: testengine.Host{NetNS: w.Host.Path(), Programs: hookPrograms(t, programs(t))}})
			return &podmanLab{t: t, Podman: p, create: func(l *podmanLab, policy map[string]string) {
				write(t, l, "/etc/cni/net.d/20-mcp-secure.conflist", conflist(mainPlugins, policy))
			}}
		},
		"5.8 netavark": func(t *testing.T, w *testnet.World) *podmanLab {
			p := testengine.StartPodman(t, testengine.PodmanOptions{Version: "5.8", Host: testengine.Host{NetNS: w.Host.Path(),
				Programs: hookPrograms(t, map[string]string{netavarkDir + "/mcpnet": testcni.Plugin(t)})}})
			return &podmanLab{t: t, Podman: p, create: func(l *podmanLab, policy map[string]string) {
				l.MustPodman(append(append([]string{"network", "create", "-d", "mcpnet", "--subnet", leak.Subnet.String(), "--gateway", leak.BridgeAddr.String()},
					options(policy)...), networkName)...)
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := testnet.NewWorld(t)
			l := open(t, world)
			l.Import(image)
			l.network(enforcing())
			podmanScenario(t, l)
		})
	}
}

func podmanScenario(t *testing.T, l *podmanLab) {
	if out, err := l.Podman.Podman("run", "--rm", "--network", networkName, "--ip", "172.20.240.9", image, "true"); err == nil || !strings.Contains(err.Error(), "mcpnet install --service") {
		t.Errorf("without a resident process: %v %s", err, out)
	}
	stop := withoutSight(t, l)
	gateway := l.gateway("gateway")
	listen(t, gateway, "tcp", leak.GatewayPort)
	run := func(name, ip string, args ...string) {
		t.Helper()
		l.MustPodman(append(append([]string{"run", "-d", "--name", name, "--network", networkName, "--ip", ip}, args...), image, "sh", "-c", cat+" > /tmp/first; exec sleep 1000")...)
	}
	reaches := func(name string, want bool) {
		t.Helper()
		target := fmt.Sprintf("172.20.0.100:%d", leak.GatewayPort)
		if got := dialText(testnet.FromPath(t, l.ContainerNetNS(name)), target); got != want {
			t.Errorf("%s reaches its gateway: %v, want %v", name, got, want)
		}
	}
	hard := func(name string) {
		t.Helper()
		wantHard(t, name+", first process", l.MustPodman("exec", name, "cat", "/tmp/first"))
		wantHard(t, name+", exec", l.MustPodman("exec", name, "sh", "-c", cat))
	}

	// The service under its unit sees containers; with less it says that it does not.
	run("unseen", "172.20.240.8", hardByHand...)
	wantEvidence(t, l, "CAP_SYS_PTRACE")
	reaches("unseen", false)
	stop()
	wantEvidence(t, l, "nobody watches")
	startService(t, l)
	wantAdmission(t, l, "172.20.240.8", conforms, "")
	wantEvidence(t, l, "")
	reaches("unseen", true)

	// With the runtime. Podman remembers it for exec and for the next start.
	if err := podmanWithRuntime(l, runtimePath, "runtime", "172.20.240.2"); err != nil {
		t.Fatal(err)
	}
	hard("runtime")
	wantHard(t, "runtime, exec --privileged", l.MustPodman("exec", "--privileged", "runtime", "sh", "-c", cat))
	wantAdmission(t, l, "172.20.240.2", conforms, "")
	reaches("runtime", true)
	l.MustPodman("restart", "-t", "0", "runtime")
	hard("runtime")
	wantAdmission(t, l, "172.20.240.2", conforms, "") // until then it hears at once that it is held
	reaches("runtime", true)

	// By hand, and not at all.
	began := time.Now()
	run("by-hand", "172.20.240.3", hardByHand...)
	wantAdmission(t, l, "172.20.240.3", conforms, "")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("let in after %v: the service did not hear of it", took)
	}
	reaches("by-hand", true)
	run("plain", "172.20.240.4")
	wantAdmission(t, l, "172.20.240.4", violates, "holds")
	reaches("plain", false)

	// Others' namespaces, and somebody who moves in.
	run("spy", "172.20.240.7", append([]string{"--pid", "container:by-hand"}, hardByHand...)...)
	wantAdmission(t, l, "172.20.240.7", violates, "pid namespace")
	wantAdmission(t, l, "172.20.240.3", violates, "which is on another network, is in its pid namespace")
	reaches("by-hand", false)
	l.MustPodman("rm", "-f", "-t", "0", "spy")
	wantAdmission(t, l, "172.20.240.3", conforms, "")
	run("ways", "172.20.240.7", append([]string{"--ipc", "host", "-v", "/proc:/host/proc:ro", "-v", "/usr:/host/usr:O"}, hardByHand...)...)
	for _, reason := range []string{"shares the host's ipc namespace", "the host's processes", `"/usr" of the host`} {
		wantAdmission(t, l, "172.20.240.7", violates, reason)
	}
	// The same in a user namespace of the container's own.
	apart := append([]string{"--uidmap", "0:100000:65536"}, hardByHand...)
	run("apart", "172.20.240.10", apart...)
	wantAdmission(t, l, "172.20.240.10", conforms, "")
	run("apart-ways", "172.20.240.11", append([]string{"-v", "/run:/host/run:ro"}, apart...)...)
	wantAdmission(t, l, "172.20.240.11", violates, "sockets of the host's services")

	// Whoever is let in and then holds more is put out.
	if _, err := l.Podman.Podman("exec", "-d", "--privileged", "by-hand", "sleep", "1000"); err == nil {
		wantAdmission(t, l, "172.20.240.3", violates, "sleep")
		reaches("by-hand", false)
	} else {
		t.Logf("this machine lets nobody exec --privileged: %v", err)
	}

	// With the precreate hook alone.
	for _, name := range []string{"90-mcpnet-precreate.json", "91-mcpnet-verify.json"} {
		write(t, l, "/usr/local/share/mcpnet/hooks.d/"+name, example(t, "podman/hooks/"+name))
	}
	write(t, l, "/etc/containers/containers.conf.d/90-mcpnet.conf", example(t, "podman/90-mcpnet.conf"))
	run("hooked", "172.20.240.5")
	wantHard(t, "hooked, first process", l.MustPodman("exec", "hooked", "cat", "/tmp/first"))
	// Podman takes no_new_privileges for exec from what the user asked for, not from the configuration: a limit of the
	// hook.
	if out := l.MustPodman("exec", "hooked", "sh", "-c", cat); !strings.Contains(out, "CapBnd:\t0000000000000400") {
		t.Errorf("hooked, exec: %s", out)
	}
	wantAdmission(t, l, "172.20.240.5", conforms, "")
	reaches("hooked", true)
	before := l.MustPodman("run", "--rm", "--network", "none", image, "sh", "-c", cat)
	if strings.Contains(before, "NoNewPrivs:\t1") {
		t.Errorf("a container off the network is changed: %s", before)
	}
	// Without its first half, the second one stops what is not hardened.
	must(t, l, "rm", "/usr/local/share/mcpnet/hooks.d/90-mcpnet-precreate.json")
	if out, err := l.Podman.Podman("run", "--rm", "--network", networkName, "--ip", "172.20.240.6", image, "true"); err == nil || !strings.Contains(err.Error()+out, "holds CAP_") {
		t.Errorf("not hardened, verified: %v %s", err, out)
	}
}

// podmanWithRuntime runs a container with a runtime, which is an option ahead of podman's command.
func podmanWithRuntime(l *podmanLab, runtime, name, ip string) error {
	write(l.t, l, "/etc/containers/containers.conf.d/80-runtime.conf", fmt.Sprintf("[engine]\nruntime = %q", runtime))
	defer func() { must(l.t, l, "rm", "/etc/containers/containers.conf.d/80-runtime.conf") }()
	_, err := l.Podman.Podman("run", "-d", "--name", name, "--network", networkName, "--ip", ip, image, "sh", "-c", cat+" > /tmp/first; exec sleep 1000")
	return err
}

// TestHookContainerd: the runtime under ctr and as a runtime handler of the CRI.
func TestHookContainerd(t *testing.T) {
	for _, version := range []string{"1.6", "2.1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			world := testnet.NewWorld(t)
			c := testengine.StartContainerd(t, testengine.ContainerdOptions{Version: version, Host: testengine.Host{NetNS: world.Host.Path(), Programs: hookPrograms(t, programs(t))},
				Handlers: []testengine.Handler{{Name: handler, BinaryName: runtimePath}, {Name: "selective", BinaryName: selectivePath}}})
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("containerd's log:\n%s", c.Logs())
				}
			})
			c.Import(image)
			write(t, c, "/etc/cni/net.d/10-mcp-secure.conflist", conflist(mainPlugins, enforcing()))
			startService(t, c)
			t.Run("cri", func(t *testing.T) { criScenario(t, c) })
			t.Run("ctr", func(t *testing.T) { ctrScenario(t, c) })
		})
	}
}

func criScenario(t *testing.T, c *testengine.Containerd) {
	gateway := c.MustRunPod(testengine.PodOptions{Name: "gateway", Handler: handler, Annotations: map[string]string{"mcpnet.role": "gateway"}})
	defer gateway.Remove()
	listen(t, testnet.FromPath(t, gateway.NetNS()), "tcp", leak.GatewayPort)
	for i, h := range []string{handler, "selective"} {
		pod := c.MustRunPod(testengine.PodOptions{Name: "pod-" + h, Handler: h})
		x := pod.MustRun("server", image, "sh", "-c", cat+" > /tmp/first; exec sleep 1000")
		time.Sleep(200 * time.Millisecond)
		wantHard(t, h+": first process", x.MustExec("cat", "/tmp/first"))
		wantHard(t, h+": exec", x.MustExec("sh", "-c", cat))
		wantAdmission(t, c, pod.IP(), conforms, "")
		if !dialText(testnet.FromPath(t, pod.NetNS()), fmt.Sprintf("172.20.0.100:%d", leak.GatewayPort)) {
			t.Errorf("%s: the server does not reach its gateway", h)
		}
		if err := pod.Remove(); err != nil {
			t.Error(i, err)
		}
	}
	plain := c.MustRunPod(testengine.PodOptions{Name: "plain"})
	defer plain.Remove()
	plain.MustRun("server", image, "sleep", "1000")
	wantAdmission(t, c, plain.IP(), violates, "holds")
	if dialText(testnet.FromPath(t, plain.NetNS()), fmt.Sprintf("172.20.0.100:%d", leak.GatewayPort)) {
		t.Error("a plain pod reaches the gateway")
	}
}

func ctrScenario(t *testing.T, c *testengine.Containerd) {
	ref := "localhost/" + image + ":latest"
	if _, err := c.Ctr("run", "-d", "--cni", "--runc-binary", runtimePath, ref, "hard", "sh", "-c", cat+" > /tmp/first; exec sleep 1000"); err != nil {
		t.Fatal(err)
	}
	x := c.Container("hard")
	time.Sleep(200 * time.Millisecond)
	wantHard(t, "ctr: first process", x.MustExec("cat", "/tmp/first"))
	wantHard(t, "ctr: exec", x.MustExec("sh", "-c", cat))
	// As a default runtime it cannot know at creation, since ctr attaches later: it stops the container before it starts.
	out, err := c.Ctr("run", "-d", "--cni", "--runc-binary", selectivePath, ref, "late", "sleep", "1000")
	if err == nil || !strings.Contains(err.Error()+out, "mcpnet-runtime") {
		t.Errorf("ctr with the selective runtime: %v %s", err, out)
	}
	if err := x.Remove(); err != nil {
		t.Error(err)
	}
}
