package engines_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// installer are the command and the runtime as `make install-host` leaves them.
func installer(t *testing.T) map[string]string {
	t.Helper()
	programs := map[string]string{}
	for path, dir := range map[string]string{"/usr/local/bin/mcpnet": "cmd/mcpnet", "/usr/local/libexec/mcpnet/mcpnet-runtime": "hook"} {
		programs[path] = testengine.GoFile(t, path, dir).Source
	}
	return programs
}

// status is a command that prints what a container's first process may do.
var status = []string{"grep", "-E", "^(CapBnd|NoNewPrivs)", "/proc/1/status"}

// wantHardened checks what that prints for a container under the runtime mcpnet, or not under it.
func wantHardened(t *testing.T, what, printed string, want bool) {
	t.Helper()
	const hardened = "CapBnd: 0000000000000400 NoNewPrivs: 1"
	var sorted []string
	for _, line := range []string{"CapBnd:", "NoNewPrivs:"} {
		_, rest, _ := strings.Cut(printed, line)
		value, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		sorted = append(sorted, line+" "+strings.TrimSpace(value))
	}
	if got := strings.Join(sorted, " "); !strings.Contains(printed, "CapBnd:") || (got == hardened) != want {
		t.Errorf("%s: hardened should be %v: %s", what, want, got)
	}
}

// wantSame checks that uninstalling leaves a file as it was.
func wantSame(t *testing.T, e executor, path, before string) {
	t.Helper()
	must(t, e, "mcpnet", "uninstall")
	if after := must(t, e, "cat", path); after != before {
		t.Errorf("%s is now\n%s\nand was\n%s", path, after, before)
	}
	if out, err := e.Exec("sh", "-c", "ls /usr/local/libexec/mcpnet/mcpnet-runtime-default /var/lib/mcpnet/install.json"); err == nil {
		t.Errorf("left: %s", out)
	}
}

func TestInstallRuntimeDocker(t *testing.T) {
	for _, version := range []string{"20.10", "28.5"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			const settings = "{\n\t\"debug\": false,\n\t\"runtimes\": {\"other\": {\"path\": \"/usr/sbin/runc\"}}\n}\n"
			e := testengine.Start(t, testengine.Options{Version: version, NetNS: testnet.New(t, "host").Path(), DaemonJSON: settings, Programs: installer(t)})
			e.Import(image)
			before := must(t, e, "cat", "/etc/docker/daemon.json")
			wantDefault := func(want string) {
				t.Helper()
				got := ""
				for end := time.Now().Add(10 * time.Second); got != want && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
					got, _ = e.Docker("info", "--format", "{{.DefaultRuntime}}")
				}
				if got != want {
					t.Fatalf("the default runtime is %q, want %s\n%s", got, want, e.Logs())
				}
			}
			if out := must(t, e, "mcpnet", "install", "--runtime", "docker", "--set-default"); !strings.Contains(out, "Next: systemctl reload docker") {
				t.Errorf("%s", out)
			}
			must(t, e, "sh", "-c", "kill -HUP $(cat /run/docker.pid)")
			wantDefault("mcpnet-default")
			run := func(args ...string) string {
				return e.MustDocker(append(append([]string{"run", "--rm"}, args...), append([]string{image}, status...)...)...)
			}
			wantHardened(t, "--runtime mcpnet", run("--runtime", "mcpnet"), true)
			wantHardened(t, "the default", run("--network", "none"), false)
			wantHardened(t, "--runtime other", run("--runtime", "other"), false)
			wantSame(t, e, "/etc/docker/daemon.json", before)
			e.Restart()
			wantDefault("runc")
			if out, err := e.Docker("run", "--rm", "--runtime", "mcpnet", image, "true"); err == nil {
				t.Errorf("the runtime is still there: %s", out)
			}
			run()
		})
	}
}

// containerdSettings are a config.toml of each version; of version 3 as containerd prints it, with a default runtime.
var containerdSettings = map[string]string{
	"2": `version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/pause:latest"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
`,
	"3": `version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "localhost/pause:latest"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
`,
}

func TestInstallRuntimeContainerd(t *testing.T) {
	for _, c := range []struct{ version, settings string }{{"1.6", "2"}, {"2.1", "2"}, {"2.1", "3"}} {
		t.Run(c.version+" config version "+c.settings, func(t *testing.T) {
			t.Parallel()
			version, settings := c.version, containerdSettings[c.settings]
			programs := programs(t)
			maps.Copy(programs, installer(t))
			c := testengine.StartContainerd(t, testengine.ContainerdOptions{Version: version, Config: settings, Host: testengine.Host{
				NetNS: testnet.New(t, "host").Path(), Programs: programs, Files: map[string]string{"/etc/cni/net.d/10-open.conflist": `{"cniVersion": "1.0.0", "name": "open",
				"plugins": [{"type": "bridge", "bridge": "open0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.71.0.0/24"}]]}}]}`}}})
			c.Import(image)
			before := must(t, c, "cat", "/etc/containerd/config.toml")
			if out := must(t, c, "mcpnet", "install", "--runtime", "containerd", "--set-default"); !strings.Contains(out, "Next: systemctl restart containerd") {
				t.Errorf("%s", out)
			}
			c.Restart()
			if dump := must(t, c, "containerd", "config", "dump"); !strings.Contains(strings.ReplaceAll(dump, "'", `"`), `default_runtime_name = "mcpnet-default"`) ||
				!strings.Contains(dump, "localhost/pause:latest") || !strings.Contains(dump, "restrict_oom_score_adj = true") {
				t.Errorf("%s", dump)
			}
			for handler, want := range map[string]bool{"mcpnet": true, "mcpnet-default": false, "": false, "runc": false} {
				pod := c.MustRunPod(testengine.PodOptions{Name: "pod-" + handler, Handler: handler})
				wantHardened(t, "handler "+handler, pod.MustRun("server", image, "sleep", "1000").MustExec(status...), want)
				if err := pod.Remove(); err != nil {
					t.Error(err)
				}
			}
			wantSame(t, c, "/etc/containerd/config.toml", before)
			c.Restart()
			if _, err := c.RunPod(testengine.PodOptions{Name: "none", Handler: "mcpnet"}); err == nil {
				t.Error("the handler is still there")
			}
			c.MustRunPod(testengine.PodOptions{Name: "plain"})
		})
	}
}

func TestInstallRuntimePodman(t *testing.T) {
	for _, version := range []string{"4.3", "5.8"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := testengine.StartPodman(t, testengine.PodmanOptions{Version: version, Host: testengine.Host{NetNS: testnet.New(t, "host").Path(), Programs: installer(t)}})
			p.Import(image)
			const settings = "/etc/containers/containers.conf"
			before := must(t, p, "cat", settings)
			run := func(runtime string) string {
				t.Helper()
				var global []string
				if runtime != "" {
					global = []string{"--runtime", runtime}
				}
				args := append(append([]string{"podman"}, global...), "run", "--rm", `--cgroup-parent=$`+testengine.CgroupVar, "--network", "none", "localhost/"+image)
				return must(t, p, "sh", append([]string{"-c", strings.Join(args, " ") + ` "$@"`, "sh"}, status...)...)
			}
			must(t, p, "mcpnet", "install", "--runtime", "podman")
			wantHardened(t, "--runtime mcpnet", run("mcpnet"), true)
			wantHardened(t, "--runtime runc", run("runc"), false)
			must(t, p, "mcpnet", "install", "--runtime", "podman", "--set-default", "--hooks")
			if got := p.MustPodman("info", "--format", "{{.Host.OCIRuntime.Name}}"); got != "mcpnet-default" {
				t.Errorf("the default runtime is %s", got)
			}
			wantHardened(t, "the default", run(""), false)
			wantHardened(t, "--runtime mcpnet with hooks", run("mcpnet"), true)
			wantSame(t, p, settings, before)
			run("")
		})
	}
}
