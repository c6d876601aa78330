package testengine_test

import (
	"path/filepath"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// startPodman makes a Podman with an image and the network "lab": a conflist on
// the back end of CNI, and what `podman network create` makes on netavark.
func startPodman(t *testing.T, version string, host *testnet.NS) *testengine.Podman {
	t.Helper()
	options := testengine.PodmanOptions{Version: version, Host: testengine.Host{NetNS: host.Path()}}
	if version == "4.3" {
		options.Files = map[string]string{"/etc/cni/net.d/10-lab.conflist": bridgeList("lab", "10.73.0.0/24")}
		options.Programs = testengine.ReferencePlugins(t, "bridge", "host-local", "loopback")
	}
	p := testengine.StartPodman(t, options)
	if version != "4.3" {
		p.MustPodman("network", "create", "--subnet", "10.73.0.0/24", "--interface-name", "lab", "lab")
	}
	p.Import("busybox")
	return p
}

func TestPodmanAttachesToTheNamespaceOfTheTest(t *testing.T) {
	everyVersion(t, testengine.PodmanVersions, func(t *testing.T, version string) {
		t.Parallel()
		host := testnet.New(t, "host")
		p := startPodman(t, version, host)
		for _, name := range []string{"one", "two"} {
			p.MustPodman("run", "-d", "--name", name, "--network", "lab", "--cap-add", "NET_RAW", "busybox", "sleep", "1000")
		}
		if _, err := host.Handle().LinkByName("lab"); err != nil {
			t.Errorf("the network's bridge is not in the test's namespace: %v", err)
		}
		wantAddress(t, p.ContainerNetNS("one"), "10.73.0.2/24")
		wantAddress(t, p.ContainerNetNS("two"), "10.73.0.3/24")
		p.MustPodman("exec", "one", "ping", "-c", "1", "-W", "2", "10.73.0.3")
		if version != "4.3" { // CNI has no name server
			p.MustPodman("exec", "one", "nslookup", "two.dns.podman", "10.73.0.1")
		}
		p.MustPodman("rm", "-f", "-t", "0", "one", "two")
		wantNoPorts(t, host)
		if version == "4.3" {
			wantDetached(t, p.Exec)
		}
	})
}

func TestPodOfPodman(t *testing.T) {
	everyVersion(t, testengine.PodmanVersions, func(t *testing.T, version string) {
		t.Parallel()
		host := testnet.New(t, "host")
		p := startPodman(t, version, host)
		p.MustPodman("pod", "create", "--name", "pod", "--network", "lab")
		p.MustPodman("run", "-d", "--pod", "pod", "--name", "member", "busybox", "sleep", "1000")
		wantAddress(t, p.ContainerNetNS("member"), "10.73.0.2/24")
	})
}

func TestNothingRemainsOfPodman(t *testing.T) {
	everyVersion(t, testengine.PodmanVersions, func(t *testing.T, version string) {
		var sandbox string
		t.Run("inner", func(t *testing.T) {
			p := startPodman(t, version, testnet.New(t, "host"))
			p.MustPodman("run", "-d", "--network", "lab", "busybox", "sleep", "1000")
			if len(testCgroups()) == 0 {
				t.Error("the container has no cgroup of the test")
			}
			sandbox = filepath.Dir(p.Path("/"))
		})
		wantNothing(t, sandbox)
	})
}
