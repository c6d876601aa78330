package engines_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// example reads a file below examples/.
func example(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testengine.ModuleRoot(t), "examples", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// wantStory checks what every example is for: the server reaches its gateway's port and not the one beside it.
func wantStory(t *testing.T, server, gateway *testnet.NS, subnet string) {
	t.Helper()
	listen(t, gateway, "tcp", 8080, port)
	for target, want := range map[string]bool{subnet + ".0.100:8080": true, subnet + ".0.100:9000": false, subnet + ".0.1:9000": false} {
		if got := dialText(server, target); got != want {
			t.Errorf("server to %s: gets through: %v, want %v", target, got, want)
		}
	}
}

func dialText(from *testnet.NS, target string) bool {
	_, err := from.Output("timeout", "3", "bash", "-c", "exec 3<>/dev/tcp/"+strings.ReplaceAll(target, ":", "/"))
	return err == nil
}

// TestExamplesCNI runs the conflists of examples/cni on Podman 4.3.
func TestExamplesCNI(t *testing.T) {
	world := testnet.NewWorld(t)
	p := testengine.StartPodman(t, testengine.PodmanOptions{Version: "4.3", Host: testengine.Host{NetNS: world.Host.Path(), Programs: programs(t), Files: map[string]string{
		"/etc/cni/net.d/10-mcp-secure.conflist":  example(t, "cni/10-mcp-secure.conflist"),
		"/etc/cni/net.d/20-mcp-chained.conflist": example(t, "cni/20-mcp-chained.conflist"),
	}}})
	p.Import(image)
	for network, subnet := range map[string]string{"mcp-secure": "172.20", "mcp-chained": "172.21"} {
		t.Run(network, func(t *testing.T) {
			p.MustPodman("run", "-d", "--name", network+"-gateway", "--network", network, "--ip", subnet+".0.100", image, "sleep", "1000")
			p.MustPodman("run", "-d", "--name", network+"-server", "--network", network, image, "sleep", "1000")
			wantStory(t, testnet.FromPath(t, p.ContainerNetNS(network+"-server")), testnet.FromPath(t, p.ContainerNetNS(network+"-gateway")), subnet)
			if out, err := p.Podman("run", "--rm", "-p", "8000:8000", "--network", network, image, "true"); err == nil {
				t.Errorf("a server publishes a port: %s", out)
			}
			p.MustPodman("rm", "-f", "-t", "0", network+"-gateway", network+"-server")
		})
	}
}

// TestExampleContainerd adds the runtime handler of examples/containerd to a containerd, and runs pods of it.
func TestExampleContainerd(t *testing.T) {
	world := testnet.NewWorld(t)
	c := testengine.StartContainerd(t, testengine.ContainerdOptions{Version: "2.1", Host: testengine.Host{NetNS: world.Host.Path(), Programs: programs(t),
		Files: map[string]string{handlerDir + "/10-mcp-secure.conflist": example(t, "cni/10-mcp-secure.conflist")}}})
	c.Import(image)
	handlerPart := strings.Replace(example(t, "containerd/config.toml"), "version = 2\n", "", 1)
	must(t, c, "sh", "-c", "cat >> /etc/containerd/config.toml <<'END'\n"+handlerPart+"\nEND")
	c.Stop()
	c.Restart()
	pods := example(t, "containerd/pods.yaml")
	for _, line := range []string{"mcpnet.role: gateway", "runtimeClassName: mcpnet"} {
		if !strings.Contains(pods, line) {
			t.Errorf("pods.yaml lacks %q, which this test stands for", line)
		}
	}
	gateway := c.MustRunPod(testengine.PodOptions{Name: "gateway", Handler: handler, Annotations: map[string]string{"mcpnet.role": "gateway"}})
	server := c.MustRunPod(testengine.PodOptions{Name: "server", Handler: handler})
	if gateway.IP() != "172.20.0.100" {
		t.Errorf("the gateway's address is %s", gateway.IP())
	}
	wantStory(t, testnet.FromPath(t, server.NetNS()), testnet.FromPath(t, gateway.NetNS()), "172.20")
}

// podmanWrapper has podman make its containers in the cgroup that goes with the test.
func podmanWrapper(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "podman")
	text := "#!/bin/sh\nif [ \"$1\" = run ]; then shift; exec /usr/bin/podman run --cgroup-parent=$" + testengine.CgroupVar + " \"$@\"; fi\nexec /usr/bin/podman \"$@\"\n"
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func startNetavark(t *testing.T, w *testnet.World, files map[string]string) *testengine.Podman {
	t.Helper()
	p := testengine.StartPodman(t, testengine.PodmanOptions{Version: "5.8", Host: testengine.Host{NetNS: w.Host.Path(), Files: files, Binds: []string{testengine.ModuleRoot(t)},
		Programs: map[string]string{netavarkDir + "/mcpnet": testcni.Plugin(t), "/usr/local/sbin/podman": podmanWrapper(t)}}})
	for _, name := range []string{"my-gateway", "my-mcp-server"} {
		p.ImportImage(testengine.Image{Tag: name, Changes: []string{`CMD ["sleep", "1000"]`}})
	}
	return p
}

// TestExamplePodman runs examples/podman/run.sh.
func TestExamplePodman(t *testing.T) {
	world := testnet.NewWorld(t)
	p := startNetavark(t, world, nil)
	must(t, p, filepath.Join(testengine.ModuleRoot(t), "examples/podman/run.sh"), "my-gateway", "my-mcp-server")
	wantStory(t, testnet.FromPath(t, p.ContainerNetNS("server")), testnet.FromPath(t, p.ContainerNetNS("gateway")), "172.20")
}

// TestExampleQuadlet has Podman's generator make services of the units, and does what these start.
func TestExampleQuadlet(t *testing.T) {
	const units = "/etc/containers/systemd/"
	files := map[string]string{}
	for _, name := range []string{"mcp-secure.network", "gateway.container", "server.container"} {
		files[units+name] = example(t, "podman/quadlet/"+name)
	}
	world := testnet.NewWorld(t)
	p := startNetavark(t, world, files)
	services := must(t, p, "sh", "-c", "/usr/libexec/podman/quadlet -dryrun 2>/dev/null")
	starts := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindAllStringSubmatch(services, -1)
	if len(starts) != 3 {
		t.Fatalf("the generator makes %d services of three units:\n%s", len(starts), services)
	}
	order := []string{"network create", "--name gateway", "--name server"}
	// What only makes sense below systemd is left out.
	plain := strings.NewReplacer("/usr/bin/podman", "podman", "%t", "/run", "--cgroups=split", "", "--sdnotify=conmon", "", "%N", "service")
	for _, part := range order {
		for _, start := range starts {
			if strings.Contains(start[1], part) {
				must(t, p, "sh", "-c", plain.Replace(strings.Replace(start[1], "%N", strings.Fields(part)[1], 1)))
			}
		}
	}
	wantStory(t, testnet.FromPath(t, p.ContainerNetNS("server")), testnet.FromPath(t, p.ContainerNetNS("gateway")), "172.20")
}
