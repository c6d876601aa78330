package testengine_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// everyVersion runs the test once for each version of a kind of engine.
func everyVersion(t *testing.T, versions map[string]string, fn func(t *testing.T, version string)) {
	for _, version := range slices.Sorted(maps.Keys(versions)) {
		t.Run(version, func(t *testing.T) { fn(t, version) })
	}
}

// bridgeList is a conflist of the reference bridge plugin.
func bridgeList(name, subnet string) string {
	return fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [{"type": "bridge", "bridge": %q,
		"isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]]}}]}`, name, name, subnet)
}

// startContainerd runs a containerd with two CNI networks: one that `ctr` and
// the default runtime handler find, and one of the handler "own".
func startContainerd(t *testing.T, version string, host *testnet.NS) *testengine.Containerd {
	t.Helper()
	c := testengine.StartContainerd(t, testengine.ContainerdOptions{
		Version: version,
		Host: testengine.Host{
			NetNS: host.Path(),
			Files: map[string]string{
				"/etc/cni/net.d/10-open.conflist":  bridgeList("open", "10.71.0.0/24"),
				"/etc/cni/own.d/10-owned.conflist": bridgeList("owned", "10.72.0.0/24"),
			},
			Programs: testengine.ReferencePlugins(t, "bridge", "host-local", "loopback"),
		},
		Handlers: []testengine.Handler{{Name: "own", CNIConfDir: "/etc/cni/own.d", PodAnnotations: []string{"test.*"}}},
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("containerd's log:\n%s", c.Logs())
		}
	})
	c.Import("busybox")
	return c
}

func TestCtrAttachesToTheNamespaceOfTheTest(t *testing.T) {
	everyVersion(t, testengine.ContainerdVersions, func(t *testing.T, version string) {
		t.Parallel()
		host := testnet.New(t, "host")
		c := startContainerd(t, version, host)
		one := c.MustRunCNI("one", "busybox", "sleep", "1000")
		two := c.MustRunCNI("two", "busybox", "sleep", "1000")
		if _, err := host.Handle().LinkByName("open"); err != nil {
			t.Errorf("the network's bridge is not in the test's namespace: %v", err)
		}
		wantAddress(t, one.NetNS(), "10.71.0.2/24")
		wantAddress(t, two.NetNS(), "10.71.0.3/24")
		one.MustExec("ping", "-c", "1", "-W", "2", "10.71.0.3")

		for _, container := range []*testengine.Container{one, two} {
			if err := container.Remove(); err != nil {
				t.Error(err)
			}
		}
		wantNoPorts(t, host)
		if version != "1.6" { // whose ctr never calls DEL for these
			wantDetached(t, c.Exec)
		}
	})
}

func TestPodOfAHandlerWithItsOwnNetworks(t *testing.T) {
	everyVersion(t, testengine.ContainerdVersions, func(t *testing.T, version string) {
		t.Parallel()
		host := testnet.New(t, "host")
		c := startContainerd(t, version, host)
		plain := c.MustRunPod(testengine.PodOptions{Name: "plain"})
		own := c.MustRunPod(testengine.PodOptions{Name: "own", Handler: "own", Annotations: map[string]string{"test.a": "b"}})
		wantAddress(t, plain.NetNS(), "10.71.0.2/24")
		wantAddress(t, own.NetNS(), "10.72.0.2/24")
		if own.IP() != "10.72.0.2" {
			t.Errorf("the CRI reports the address %q", own.IP())
		}
		server := own.MustRun("server", "busybox", "sleep", "1000")
		if out := server.MustExec("ip", "-4", "addr", "show", "eth0"); !strings.Contains(out, "10.72.0.2/24") {
			t.Errorf("the container of the pod sees: %s", out)
		}
		wantAddress(t, server.NetNS(), "10.72.0.2/24")
		if _, err := server.Exec("false"); err == nil {
			t.Error("a program that fails in a container is no error")
		}
		if _, err := c.RunPod(testengine.PodOptions{Name: "none", Handler: "none"}); err == nil {
			t.Error("a handler that does not exist runs a pod")
		}

		for _, pod := range []*testengine.Pod{plain, own} {
			if err := pod.Remove(); err != nil {
				t.Error(err)
			}
		}
		wantNoPorts(t, host)
		wantDetached(t, c.Exec)
	})
}

func TestContainersOutliveContainerd(t *testing.T) {
	everyVersion(t, testengine.ContainerdVersions, func(t *testing.T, version string) {
		t.Parallel()
		c := startContainerd(t, version, testnet.New(t, "host"))
		container := c.MustRunCNI("sleeper", "busybox", "sleep", "1000")
		pod := c.MustRunPod(testengine.PodOptions{Name: "pod", Handler: "own"})
		before := container.PID()
		for name, end := range map[string]func(){"kill": c.Kill, "stop": c.Stop} {
			end()
			if _, err := c.Ctr("--connect-timeout", "100ms", "version"); err == nil {
				t.Errorf("%s: containerd still answers", name)
			}
			c.Restart()
			if after := container.PID(); after != before {
				t.Errorf("%s: the container's process was %s and is %s", name, before, after)
			}
			wantAddress(t, pod.NetNS(), "10.72.0.2/24")
		}
	})
}

func TestNothingRemainsOfContainerd(t *testing.T) {
	everyVersion(t, testengine.ContainerdVersions, func(t *testing.T, version string) {
		var sandbox string
		t.Run("inner", func(t *testing.T) {
			c := startContainerd(t, version, testnet.New(t, "host"))
			c.MustRunCNI("sleeper", "busybox", "sleep", "1000")
			c.MustRunPod(testengine.PodOptions{Name: "pod"}).MustRun("sleeper", "busybox", "sleep", "1000")
			if len(testCgroups()) == 0 {
				t.Error("the containers have no cgroup of the test")
			}
			sandbox = filepath.Dir(c.Path("/"))
		})
		wantNothing(t, sandbox)
	})
}

// wantAddress checks the address of eth0 in the network namespace at the path.
func wantAddress(t *testing.T, netNS, address string) {
	t.Helper()
	if out := testnet.FromPath(t, netNS).Run("ip", "-4", "addr", "show", "eth0"); !strings.Contains(out, address) {
		t.Errorf("eth0 does not have the address %s: %s", address, out)
	}
}

// wantNoPorts checks that the host's ends of all containers' links are gone.
func wantNoPorts(t *testing.T, host *testnet.NS) {
	t.Helper()
	if out := host.Run("ip", "-o", "link", "show", "type", "veth"); out != "" {
		t.Errorf("links remain: %s", out)
	}
}

// wantDetached checks that DEL was called for each attachment: host-local has a
// file for each address that it has given out.
func wantDetached(t *testing.T, run func(string, ...string) (string, error)) {
	t.Helper()
	if out, err := run("find", "/var/lib/cni/networks", "-name", "10.*"); out != "" || err != nil {
		t.Errorf("addresses are not free again: %s %v", out, err)
	}
}

// wantNothing checks that a sandbox and the cgroups of this program are gone.
func wantNothing(t *testing.T, sandbox string) {
	t.Helper()
	if _, err := os.Stat(sandbox); err == nil {
		t.Errorf("%s is still there", sandbox)
	}
	if cgroups := testCgroups(); len(cgroups) > 0 {
		t.Errorf("cgroups remain: %v", cgroups)
	}
}

func testCgroups() []string {
	found, _ := filepath.Glob(fmt.Sprintf("/sys/fs/cgroup/*/mcpnet-test-%d-*", os.Getpid()))
	return found
}
