package engines_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// commandPrograms are the command and what it installs, side by side, as `make build` leaves them.
func commandPrograms(t *testing.T, more map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{"/usr/local/bin/mcpnet": testengine.GoFile(t, "", "cmd/mcpnet").Source, "/usr/local/bin/mcpnet-runtime": testengine.GoFile(t, "", "hook").Source}
	for path, source := range more {
		out[path] = source
	}
	return out
}

// wantPlain fails where a process that nobody hardened is.
func wantPlain(t *testing.T, what, status string) {
	t.Helper()
	if strings.Contains(status, "NoNewPrivs:\t1") || strings.Contains(status, "CapBnd:\t0000000000000400") {
		t.Errorf("%s is hardened: %s", what, status)
	}
}

// TestInstallRuntimeDocker registers the runtime with an engine that has settings of its own.
func TestInstallRuntimeDocker(t *testing.T) {
	for _, version := range []string{"20.10", "28.5"} {
		t.Run(version, func(t *testing.T) {
			const own = `{"labels": ["mine=1"]}`
			e := testengine.Start(t, testengine.Options{Version: version, NetNS: testnet.NewWorld(t).Host.Path(), DaemonJSON: own, Programs: commandPrograms(t, nil)})
			e.Import(image)
			t.Log(must(t, e, "mcpnet", "install", "--runtime", "docker", "--set-default", "--dry-run"))
			must(t, e, "mcpnet", "install", "--runtime", "docker", "--set-default")
			e.Restart()
			if info := e.MustDocker("info", "--format", "{{.DefaultRuntime}} {{.Labels}}"); info != "mcpnet-default [mine=1]" {
				t.Errorf("docker info: %s", info)
			}
			wantHard(t, "--runtime mcpnet", e.MustDocker("run", "--rm", "--runtime", "mcpnet", image, "sh", "-c", cat))
			wantPlain(t, "the default runtime off mcpnet", e.MustDocker("run", "--rm", image, "sh", "-c", cat))
			must(t, e, "mcpnet", "uninstall", "--runtime", "docker")
			if got := must(t, e, "cat", "/etc/docker/daemon.json"); got != own {
				t.Errorf("daemon.json is %s", got)
			}
			e.Restart()
			if info := e.MustDocker("info", "--format", "{{.DefaultRuntime}}"); info != "runc" {
				t.Errorf("the default runtime is %s", info)
			}
		})
	}
}

func TestInstallRuntimeContainerd(t *testing.T) {
	for _, version := range []string{"1.6", "2.1"} {
		t.Run(version, func(t *testing.T) {
			c := testengine.StartContainerd(t, testengine.ContainerdOptions{Version: version, Host: testengine.Host{NetNS: testnet.NewWorld(t).Host.Path(),
				Programs: commandPrograms(t, programs(t))}})
			c.Import(image)
			write(t, c, "/etc/cni/net.d/10-open.conflist", `{"cniVersion": "1.0.0", "name": "open", "plugins": [{"type": "bridge", "bridge": "open0",
				"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/24"}]]}}]}`)
			before := must(t, c, "cat", "/etc/containerd/config.toml")
			must(t, c, "mcpnet", "install", "--runtime", "containerd")
			c.Restart()
			for handler, want := range map[string]func(*testing.T, string, string){"mcpnet": wantHard, "mcpnet-default": wantPlain, "": wantPlain} {
				pod := c.MustRunPod(testengine.PodOptions{Name: "pod" + handler, Handler: handler})
				want(t, "handler "+handler, pod.MustRun("x", image, "sleep", "1000").MustExec("sh", "-c", cat))
				if err := pod.Remove(); err != nil {
					t.Error(err)
				}
			}
			must(t, c, "mcpnet", "uninstall")
			if got := must(t, c, "cat", "/etc/containerd/config.toml"); got != before {
				t.Errorf("config.toml is %s", got)
			}
			c.Restart()
		})
	}
}

func TestInstallRuntimePodman(t *testing.T) {
	for _, version := range []string{"4.3", "5.8"} {
		t.Run(version, func(t *testing.T) {
			more := map[string]string{}
			if version == "4.3" {
				more = programs(t)
			}
			p := testengine.StartPodman(t, testengine.PodmanOptions{Version: version, Host: testengine.Host{NetNS: testnet.NewWorld(t).Host.Path(), Programs: commandPrograms(t, more)}})
			p.Import(image)
			must(t, p, "mcpnet", "install", "--runtime", "podman", "--set-default", "--hooks")
			wantPlain(t, "the default runtime off mcpnet", p.MustPodman("run", "--rm", "--network", "none", image, "sh", "-c", cat))
			name := p.MustPodman("run", "-d", "--network", "none", image, "sleep", "1000")
			if got := p.MustPodman("inspect", "--format", "{{.OCIRuntime}}", name); got != "mcpnet-default" {
				t.Errorf("the default runtime is %s", got)
			}
			p.MustPodman("rm", "-f", "-t", "0", name)
			write(t, p, "/etc/containers/containers.conf.d/95-test.conf", "[engine]\nruntime = \"mcpnet\"")
			wantHard(t, "the runtime mcpnet", p.MustPodman("run", "--rm", "--network", "none", image, "sh", "-c", cat))
			must(t, p, "rm", "/etc/containers/containers.conf.d/95-test.conf")
			must(t, p, "mcpnet", "uninstall")
			if out, _ := p.Exec("find", "/usr/local/libexec", "/usr/local/share/mcpnet", "/etc/containers/containers.conf.d"); strings.Contains(out, "mcpnet") {
				t.Errorf("left: %s", out)
			}
			wantPlain(t, "after its end", p.MustPodman("run", "--rm", "--network", "none", image, "sh", "-c", cat))
		})
	}
}
