package testengine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// each runs the test once for each selected version of Docker.
func each(t *testing.T, fn func(t *testing.T, version string)) {
	for _, version := range testengine.Selected() {
		t.Run(version, func(t *testing.T) { fn(t, version) })
	}
}

func TestContainerRunsInTheNamespaceOfTheTest(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		t.Parallel()
		host := testnet.New(t, "host")
		e := testengine.Start(t, testengine.Options{Version: version, NetNS: host.Path()})
		e.Import("busybox")
		e.MustDocker("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")
		if _, err := host.Handle().LinkByName("docker0"); err != nil {
			t.Errorf("the engine's bridge is not in the test's namespace: %v", err)
		}
		inside := testnet.FromPath(t, e.ContainerNetNS("sleeper"))
		if out := inside.Run("ip", "-4", "addr", "show", "eth0"); !strings.Contains(out, "172.17.0.2/16") {
			t.Errorf("the container's link: %s", out)
		}
	})
}

func TestKillAndRestart(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		t.Parallel()
		host := testnet.New(t, "host")
		e := testengine.Start(t, testengine.Options{Version: version, NetNS: host.Path()})
		e.Import("busybox")
		e.MustDocker("run", "-d", "--name", "sleeper", "--restart", "always", "--stop-signal", "KILL",
			"busybox", "sleep", "1000")
		for name, end := range map[string]func(){"kill": e.Kill, "stop": e.Stop} {
			end()
			if out, err := e.Docker("ps"); err == nil {
				t.Errorf("%s: the engine still answers: %s", name, out)
			}
			e.Restart()
			if got := e.MustDocker("ps", "--format", "{{.Names}}"); got != "sleeper" {
				t.Errorf("%s: containers after the restart: %q", name, got)
			}
		}
	})
}

func TestNothingRemains(t *testing.T) {
	each(t, func(t *testing.T, version string) {
		var sandbox string
		t.Run("inner", func(t *testing.T) {
			host := testnet.New(t, "host")
			e := testengine.Start(t, testengine.Options{Version: version, NetNS: host.Path()})
			e.Import("busybox")
			e.MustDocker("run", "-d", "busybox", "sleep", "1000")
			sandbox = filepath.Dir(e.Path("/"))
		})
		if _, err := os.Stat(sandbox); err == nil {
			t.Errorf("%s is still there", sandbox)
		}
		if cgroups := testCgroups(); len(cgroups) > 0 {
			t.Errorf("cgroups remain: %v", cgroups)
		}
	})
}
