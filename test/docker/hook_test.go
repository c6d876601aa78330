package docker_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcpnet/mcpnet/internal/report"
)

const cat = "cat /proc/self/status"

// TestRuntime: with --runtime mcpnet every process of a container is held to the policy, however it is started.
func TestRuntime(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		l := newHookLab(t, version, "", nil)
		l.createNetwork()
		run := []string{"--runtime", "mcpnet", "--network", "mcp-secure", "--cap-add", "NET_ADMIN"}
		// The control: without the runtime the same container holds NET_ADMIN.
		plain := parseHeld(t, l.MustDocker("run", "--rm", "--network", "mcp-secure", "--cap-add", "NET_ADMIN", image, "sh", "-c", cat))
		if plain.effective&(1<<12) == 0 || plain.sealed {
			t.Fatalf("a plain container holds %v: this shows nothing", plain)
		}
		wantHard(t, "first process", l.MustDocker(append(append([]string{"run", "--rm"}, run...), image, "sh", "-c", cat)...))

		checkRefused(t, l, version)
		checkSockets(t, l, version)

		l.run("server", cat+" > /tmp/first; exec sleep 1000", append(run, "--health-cmd", cat+" > /tmp/health", "--health-interval", "1s")...)
		for _, again := range []string{"at first", "after a restart"} {
			wantHard(t, "first process, "+again, l.MustDocker("exec", "server", "cat", "/tmp/first"))
			wantHard(t, "exec, "+again, l.MustDocker("exec", "server", "sh", "-c", cat))
			wantHard(t, "exec --privileged, "+again, l.MustDocker("exec", "--privileged", "server", "sh", "-c", cat))
			var health string
			for end := time.Now().Add(10 * time.Second); health == "" && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
				health, _ = l.Docker("exec", "server", "cat", "/tmp/health")
			}
			wantHard(t, "health check, "+again, health)
			l.MustDocker("exec", "server", "rm", "/tmp/first", "/tmp/health")
			l.MustDocker("restart", "-t", "0", "server")
			time.Sleep(300 * time.Millisecond)
		}
		const setuid = "cp /bin/status /tmp/setuid; chmod 4755 /tmp/setuid"
		l.MustDocker("exec", "server", "sh", "-c", setuid)
		if out := l.MustDocker("exec", "-u", "1000", "server", "/tmp/setuid"); !strings.Contains(out, "Uid:\t1000\t1000\t1000\t1000") || parseHeld(t, out).effective != 0 {
			t.Errorf("a setuid program gains: %s", out)
		}
		l.run("plain", setuid+"; exec sleep 1000", "--network", "mcp-secure")
		if out := l.MustDocker("exec", "-u", "1000", "plain", "/tmp/setuid"); !strings.Contains(out, "Uid:\t1000\t0\t0\t0") {
			t.Errorf("a setuid program gains nothing in a plain container: this shows nothing: %s", out)
		}
		// What a hardened process cannot do.
		for what, script := range map[string]string{
			"a raw socket":            "ping -c 1 -W 1 127.0.0.1",
			"a packet socket":         "arping -I eth0 -c 1 -w 1 172.20.0.100",
			"to configure interfaces": "ip link set lo down",
			"to mount":                "mount -t tmpfs none /mnt",
			"to make devices":         "mknod /tmp/d c 1 3",
			"to change owners":        "touch /tmp/f; chown 7 /tmp/f",
		} {
			// The shell's own words tell that it ran: an exec that fails to start forbids nothing.
			out := l.MustDocker("exec", "--privileged", "server", "sh", "-c", "("+script+") 2>&1; echo ended with $?")
			if strings.Contains(out, "ended with 0") || !strings.Contains(out, "ended with") || !forbidden(out) {
				t.Errorf("is allowed %s: %s", what, out)
			}
			// The control. A plain container may not do all of this, but open the sockets.
			_, err := l.Docker("exec", "plain", "sh", "-c", script)
			if strings.HasSuffix(what, "socket") && err != nil && forbidden(err.Error()) {
				t.Errorf("a plain container is not allowed %s either: this shows nothing: %v", what, err)
			}
		}
	})
}

// forbidden tells the kernel's refusal, in busybox's words, from any other failure.
func forbidden(said string) bool {
	return strings.Contains(said, "not permitted") || strings.Contains(strings.ToLower(said), "permission denied")
}

// TestSelective: as the engine's default runtime it hardens containers on mcpnet networks, and leaves the documents
// of all others exactly as they are.
func TestSelective(t *testing.T) {
	const spy = `#!/bin/sh
case " $* " in *" create "*) b=; p=; for a; do [ "$p" = --bundle ] && b=$a; p=$a; done
mkdir -p /tmp/spy; cp $b/config.json /tmp/spy/$(basename $b).$STAGE;; esac
`
	files := map[string]string{
		"/etc/mcpnet/runtime.json": `{"runtime": "/usr/local/bin/spy-after"}`,
		"/usr/local/bin/spy":       strings.Replace(spy, "$STAGE", "before", 1) + `exec ` + selectivePath + ` "$@"`,
		"/usr/local/bin/spy-after": strings.Replace(spy, "$STAGE", "after", 1) + `exec runc "$@"`,
	}
	onEveryVersion(t, func(t *testing.T, version string) {
		l := newSpyLab(t, version, files)
		l.createNetwork()
		off := l.MustDocker("run", "-d", "--name", "off", "--cap-add", "NET_ADMIN", image, "sleep", "1000")
		on := l.MustDocker("run", "-d", "--name", "on", "--network", "mcp-secure", image, "sleep", "1000")
		gateway := l.MustDocker("run", "-d", "--name", "gateway", "--network", "mcp-secure", "--ip", "172.20.0.100", image, "sleep", "1000")
		none := l.MustDocker("run", "-d", "--name", "none", "--network", "none", image, "sleep", "1000")
		host := l.MustDocker("run", "-d", "--name", "host", "--network", "host", image, "sleep", "1000")
		for id, want := range map[string]bool{off: true, on: false, gateway: true, none: true, host: true} {
			_, err := l.Exec("cmp", "/tmp/spy/"+id+".before", "/tmp/spy/"+id+".after")
			if (err == nil) != want {
				t.Errorf("container %.12s: documents equal %v, want %v (%v)", id, err == nil, want, err)
			}
		}
		wantHard(t, "on the network", l.MustDocker("exec", "on", "sh", "-c", cat))
		wantHard(t, "on the network, exec --privileged", l.MustDocker("exec", "--privileged", "on", "sh", "-c", cat))
		if h := parseHeld(t, l.MustDocker("exec", "off", "sh", "-c", cat)); h.effective&(1<<12) == 0 || h.sealed {
			t.Errorf("off the network: %v", h)
		}
		l.endpoint("on", func(p report.Endpoint) bool {
			return p.Admission == report.Admission{State: conforms, By: "mcpnet-runtime"}
		})
	})
}

// newSpyLab has the default runtime spied upon, on its way in and out.
func newSpyLab(t *testing.T, version string, files map[string]string) *lab {
	t.Helper()
	l := newHookLab(t, version, "", files)
	for _, name := range []string{"spy", "spy-after"} {
		if _, err := l.Exec("chmod", "755", "/usr/local/bin/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Exec("sed", "-i", `s/^{/{"default-runtime":"spy",/`, "/etc/docker/daemon.json"); err != nil {
		t.Fatal(err)
	}
	l.Restart()
	return l
}

// TestRuntimeFails: whatever the runtime lacks, the container does not start, and the engine's message names the file.
func TestRuntimeFails(t *testing.T) {
	l := newHookLab(t, besideOthers(t), "", nil)
	l.createNetwork()
	fails := func(runtime, says string) {
		t.Helper()
		out, err := l.Docker("run", "--rm", "--runtime", runtime, "--network", "mcp-secure", image, "true")
		if err == nil || !strings.Contains(err.Error()+out, says) {
			t.Errorf("runtime %s: %v %s, want %q", runtime, err, out, says)
		}
	}
	script := func(text string) {
		t.Helper()
		if _, err := l.Exec("sh", "-c", text); err != nil {
			t.Fatal(err)
		}
	}
	script(`mkdir -p /etc/mcpnet; echo '{"runtime": "/nonexistent/runc"}' > /etc/mcpnet/runtime.json`)
	fails("mcpnet", "/etc/mcpnet/runtime.json: runtime: stat /nonexistent/runc")
	script(`echo '{"runtime": "` + runtimePath + `"}' > /etc/mcpnet/runtime.json`)
	fails("mcpnet", "is mcpnet-runtime itself")
	script(`rm /etc/mcpnet/runtime.json; cp ` + selectivePath + ` /tmp/kept; printf '#!/bin/sh\nkill -9 $$\n' > ` + selectivePath)
	fails("selective", "OCI runtime")
	script(`cp /tmp/kept ` + selectivePath + `; cd /var/lib/docker/plugins/*/propagated-mount/v2/*/ && cp network.json /tmp/network.json && echo '{' > network.json`)
	fails("selective", "network.json")
	l.MustDocker("network", "create", "plain")
	for _, network := range []string{"bridge", "plain", "host"} { // off mcpnet networks nobody has to know
		l.MustDocker("run", "--rm", "--runtime", "selective", "--network", network, image, "true")
	}
	script(`cd /var/lib/docker/plugins/*/propagated-mount/v2/*/ && cp /tmp/network.json network.json`)
	l.MustDocker("run", "--rm", "--runtime", "selective", "--network", "mcp-secure", image, "true")
}

// TestSelectiveFinds: whatever else a user says of a container, the default runtime finds that it is on an mcpnet
// network, and what an image or a user says in mcpnet's own words counts for nothing.
func TestSelectiveFinds(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		l := newHookLab(t, version, "selective", nil)
		l.createNetwork()
		id := l.MustDocker("network", "inspect", "--format", "{{.Id}}", "mcp-secure")
		cases := map[string][]string{
			"by id":              {"--network", id},
			"by part of the id":  {"--network", id[:12]},
			"part, with address": {"--network", id[:12], "--ip", "172.20.0.50"},
			"own files":          {"--network", "mcp-secure", "-v", "/etc/passwd:/etc/resolv.conf:ro", "-v", "/etc/passwd:/etc/hosts:ro", "-v", "/etc/passwd:/etc/hostname:ro"},
			"init":               {"--network", "mcp-secure", "--init"},
			"NNP off":            {"--network", "mcp-secure", "--security-opt", "no-new-privileges=false"},
			"capabilities added": {"--network", "mcp-secure", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_ADMIN"},
			"alias":              {"--network", "mcp-secure", "--network-alias", "bridge", "--hostname", "host"},
		}
		if version != "20.10" {
			cases["marked by the user"] = []string{"--network", "mcp-secure", "--annotation", "io.mcpnet.caps=SYS_ADMIN,NET_ADMIN"}
		}
		for what, args := range cases {
			out, err := l.Docker(append(append([]string{"run", "--rm"}, args...), image, "sh", "-c", cat)...)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			wantHard(t, what, out)
		}
		l.MustDocker("create", "--name", "later", "--network", "mcp-secure", image, "sh", "-c", cat+" > /tmp/first; exec sleep 1000")
		l.MustDocker("rename", "later", "renamed")
		l.MustDocker("start", "renamed")
		time.Sleep(300 * time.Millisecond)
		wantHard(t, "created, renamed, started", l.MustDocker("exec", "renamed", "cat", "/tmp/first"))
		wantHard(t, "exec", l.MustDocker("exec", "--privileged", "-u", "0", "renamed", "sh", "-c", cat))
		// A user of its own holds nothing, and gains nothing.
		if h := parseHeld(t, l.MustDocker("run", "--rm", "-u", "1000", "--network", "mcp-secure", image, "sh", "-c", cat)); h.effective != 0 || h.bounding != defaultCaps || !h.sealed {
			t.Errorf("another user: %v", h)
		}
	})
}

// TestComposeRuntime: a service says it with one line.
func TestComposeRuntime(t *testing.T) {
	onComposeVersions(t, func(t *testing.T, version string) {
		l := newHookLab(t, version, "", map[string]string{"/srv/compose.yaml": `
services:
  server:
    image: ` + image + `
    command: [sleep, "1000"]
    runtime: mcpnet
    networks: [mcp-secure]
networks:
  mcp-secure:
    driver: mcpnet
    driver_opts: { mcpnet.gateway: "172.20.0.100:8080", mcpnet.caps.mode: enforce }
    ipam: { config: [{ subnet: 172.20.0.0/16, ip_range: 172.20.240.0/20 }] }
`})
		l.MustDocker("compose", "-f", "/srv/compose.yaml", "up", "-d")
		server := l.MustDocker("compose", "-f", "/srv/compose.yaml", "ps", "-q", "server")
		wantHard(t, "Compose", l.MustDocker("exec", "--privileged", server, "sh", "-c", cat))
		name := strings.TrimPrefix(l.MustDocker("inspect", "--format", "{{.Name}}", server), "/")
		l.endpoint(name, func(p report.Endpoint) bool { return p.Admission.State == conforms && !p.Quarantined })
		l.MustDocker("compose", "-f", "/srv/compose.yaml", "down", "-t", "0")
	})
}

// TestSelectiveFresh: a network that was just made has no name yet, as far as a driver is told.
func TestSelectiveFresh(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		l := newHookLab(t, version, "selective", nil)
		l.MustDocker("network", "create", "other")
		for range 6 {
			l.createNetwork("-o", "mcpnet.caps=none")
			h := parseHeld(t, l.MustDocker("run", "--rm", "--network", "mcp-secure", image, "sh", "-c", cat))
			if h.bounding != 0 || h.effective != 0 || !h.sealed {
				t.Errorf("on a new network: %v", h)
			}
			if h := parseHeld(t, l.MustDocker("run", "--rm", "--network", "other", image, "sh", "-c", cat)); h.bounding == 0 || h.sealed {
				t.Errorf("on another network: %v", h)
			}
			l.MustDocker("network", "rm", "mcp-secure")
		}
	})
}

// TestSelectiveHost: containers on the host's network start, whatever servers do beside them.
func TestSelectiveHost(t *testing.T) {
	l := newHookLab(t, besideOthers(t), "selective", nil)
	l.createNetwork("-o", "mcpnet.caps.mode=enforce")
	var group errgroup.Group
	for network, runs := range map[string]int{"mcp-secure": 12, "host": 18} {
		group.Go(func() error {
			for range runs {
				if _, err := l.Docker("run", "--rm", "--network", network, image, "true"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
