package docker_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestAdmission: where the policy is enforced, whoever has another way out or holds more is refused or passes
// nothing, with the reason where the user looks (P10); whoever conforms is let in, with the runtime or without.
func TestAdmission(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		l := newHookLab(t, version, "", nil)
		l.createNetwork("-o", "mcpnet.caps.mode=enforce")
		l.MustDocker("network", "create", "--subnet", "10.81.0.0/24", "other")
		l.run("gateway", serving("8080"), "--network", "mcp-secure", "--ip", "172.20.0.100")
		letIn := func(name string, args ...string) {
			t.Helper()
			l.run(name, "exec sleep 1000", append([]string{"--network", "mcp-secure"}, args...)...)
			l.reaches(name, "172.20.0.100:8080")
			l.endpoint(name, func(p report.Endpoint) bool { return p.Admission.State == conforms && !p.Quarantined })
		}
		keptOut := func(reason, name string, args ...string) {
			t.Helper()
			l.run(name, "exec sleep 1000", append([]string{"--network", "mcp-secure"}, args...)...)
			p := l.endpoint(name, func(p report.Endpoint) bool { return p.Admission.State == violates })
			if !p.Quarantined || !strings.Contains(p.Admission.Reason, reason) {
				t.Errorf("%s: %+v, want %q", name, p, reason)
			}
			l.denied(name, "172.20.0.100:8080")
		}
		hard := []string{"--cap-drop", "ALL", "--security-opt", "no-new-privileges"}
		with := func(args ...string) []string { return append(args, hard...) }

		letIn("runtime", "--runtime", "mcpnet")
		letIn("by-hand", hard...)
		if log := l.Logs(); !strings.Contains(log, "asked about gateways") || strings.Contains(log, "waits longer for its gateways") {
			t.Error("a server that was held is not told where its gateway is")
		}
		id := l.MustDocker("network", "inspect", "--format", "{{.Id}}", "mcp-secure")
		l.run("by-id", "exec sleep 1000", with("--network", id[:12], "--ip", "172.20.0.60")...)
		l.endpoint("by-id", func(p report.Endpoint) bool { return p.Admission.State == conforms && !p.Quarantined })
		letIn("by-hand-2", with("--cap-add", "NET_BIND_SERVICE")...)
		keptOut("--runtime mcpnet", "plain")
		keptOut("may gain privileges", "half", "--cap-drop", "ALL")
		keptOut("NET_ADMIN", "more", with("--cap-add", "NET_ADMIN")...)
		keptOut("namespace of the host", "host-ipc", with("--ipc", "host")...)
		keptOut("--runtime mcpnet", "bypassed", "--runtime", "runc")

		// A second door, opened later and closed again.
		l.MustDocker("network", "connect", "other", "runtime")
		p := l.endpoint("runtime", func(p report.Endpoint) bool { return p.Quarantined })
		if !strings.Contains(p.Admission.Reason, "also on other") {
			t.Errorf("second network: %+v", p)
		}
		l.denied("runtime", "172.20.0.100:8080")
		l.MustDocker("network", "disconnect", "other", "runtime")
		l.endpoint("runtime", func(p report.Endpoint) bool { return !p.Quarantined })
		l.reaches("runtime", "172.20.0.100:8080")

		// Elsewhere first, then here: the runtime's word goes with the container.
		l.run("mover", "exec sleep 1000", "--network", "other", "--runtime", "mcpnet")
		l.MustDocker("network", "connect", "mcp-secure", "mover")
		l.endpoint("mover", func(p report.Endpoint) bool { return p.Admission.State == violates && p.Quarantined })
		l.MustDocker("network", "disconnect", "other", "mover")
		l.endpoint("mover", func(p report.Endpoint) bool { return !p.Quarantined })
		l.reaches("mover", "172.20.0.100:8080")
		l.MustDocker("rm", "-f", "mover")
		if out, err := l.Exec("ls", "/run/mcpnet/hardened"); err != nil || strings.Count(out, "\n")+1 != 1 { // of the one that runs
			t.Errorf("words about containers: %s, %v", out, err)
		}

		// Somebody moves in.
		l.run("lodger", "exec sleep 1000", "--network", "container:by-hand")
		p = l.endpoint("by-hand", func(p report.Endpoint) bool { return p.Quarantined })
		if !strings.Contains(p.Admission.Reason, "lodger") {
			t.Errorf("a lodger: %+v", p)
		}
		// One behind the other: the second stays when the first is gone, and while it is paused.
		l.run("lodger-2", "exec sleep 1000", "--network", "container:lodger")
		l.endpoint("by-hand", func(p report.Endpoint) bool { return strings.Contains(p.Admission.Reason, "lodger-2") })
		l.MustDocker("rm", "-f", "lodger")
		l.MustDocker("pause", "lodger-2")
		l.endpoint("by-hand", func(p report.Endpoint) bool {
			return p.Admission.Reason != "" && !strings.Contains(p.Admission.Reason, "lodger,")
		})
		time.Sleep(2 * time.Second)
		if p = l.endpoint("by-hand", func(report.Endpoint) bool { return true }); !p.Quarantined || !strings.Contains(p.Admission.Reason, "lodger-2") {
			t.Errorf("the second lodger: %+v", p)
		}
		l.MustDocker("rm", "-f", "lodger-2")
		l.endpoint("by-hand", func(p report.Endpoint) bool { return !p.Quarantined })

		// What the runtime sees before anything starts, it refuses.
		for reason, args := range map[string][]string{
			"is privileged":                       {"--privileged", "--network", "mcp-secure"},
			"shares the host's network namespace": {"--network", "host"},
			"shares the host's pid namespace":     {"--pid", "host", "--network", "mcp-secure"},
			"shares the network namespace of":     {"--network", "container:by-hand"},
		} {
			out, err := l.Docker(append(append([]string{"run", "--rm", "--runtime", "mcpnet"}, args...), image, "true")...)
			if err == nil || !strings.Contains(err.Error()+out, reason) || !strings.Contains(err.Error()+out, "mcpnet-runtime") {
				t.Errorf("%v: %v %s, want %q", args, err, out, reason)
			}
		}
		// Whoever was let in stays so over the plugin's and the engine's restart.
		l.MustDocker("plugin", "disable", "-f", "mcpnet/driver")
		l.MustDocker("plugin", "enable", "mcpnet/driver")
		l.reaches("by-hand", "172.20.0.100:8080")
		l.denied("plain", "172.20.0.100:8080")
		l.denied("more", "172.20.0.100:8080")
	})
}

// TestGuard: by default nobody is held up, whatever is a way out is cut when it is seen, and what is only too much is
// reported; with audit everything is.
func TestGuard(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		l := newHookLab(t, version, "", nil)
		l.createNetwork()
		l.MustDocker("network", "create", "-d", "mcpnet", "--subnet", "172.21.0.0/16", "-o", "mcpnet.gateway=172.21.0.100:8080",
			"-o", "mcpnet.caps.mode=audit", "mcp-audit")
		l.MustDocker("network", "create", "--subnet", "10.81.0.0/24", "other")
		l.MustDocker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/run/docker", "sockets")
		l.run("gateway", serving("8080"), "--network", "mcp-secure", "--ip", "172.20.0.100")
		l.MustDocker("network", "connect", "other", "gateway") // a gateway may
		l.run("bystander", "exec sleep 1000", "--network", "other", "--ipc", "shareable")

		l.run("plain", "exec sleep 1000", "--network", "mcp-secure")
		l.reaches("plain", "172.20.0.100:8080")
		p := l.endpoint("plain", func(p report.Endpoint) bool { return p.Admission.State == violates })
		if p.Quarantined || !strings.Contains(p.Admission.Reason, "--runtime mcpnet") {
			t.Errorf("plain: %+v", p)
		}
		if g := l.endpoint("gateway", func(report.Endpoint) bool { return true }); g.Admission.State != "" || g.Quarantined {
			t.Errorf("a gateway is judged: %+v", g)
		}
		// Each of these alone is a way out (internal/admission).
		l.run("ways", "exec sleep 1000", "--network", "mcp-secure", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
			"--pid", "container:bystander", "--ipc", "container:bystander", "--uts", "host", "--security-opt", "systempaths=unconfined",
			"-v", "/run/docker.sock:/run/docker.sock:ro", "-v", "sockets:/sockets", "-v", "/proc:/host/proc:ro", "--device-cgroup-rule", "b 8:* rwm")
		p = l.endpoint("ways", func(p report.Endpoint) bool { return p.Quarantined })
		for _, reason := range []string{"holds NET_ADMIN,SYS_PTRACE, a way out", "--pid container:", "--ipc container:", "--uts host", "/proc/sys, ",
			"Docker's socket", "Docker and its plugins", "the host's processes", "a disk of the host"} {
			if !strings.Contains(p.Admission.Reason, reason) || !p.Admission.WayOut {
				t.Errorf("%+v, want %q", p, reason)
			}
		}
		l.denied("ways", "172.20.0.100:8080")

		// Others that come inside: only their own records show it. The second comes through the first.
		l.run("spy", "exec sleep 1000", "--network", "other", "--pid", "container:plain")
		l.endpoint("plain", func(p report.Endpoint) bool {
			return p.Quarantined && strings.Contains(p.Admission.Reason, "that of spy")
		})
		l.run("spy-2", "exec sleep 1000", "--network", "other", "--pid", "container:spy")
		l.MustDocker("rm", "-f", "spy")
		l.endpoint("plain", func(p report.Endpoint) bool {
			return p.Quarantined && strings.Contains(p.Admission.Reason, "that of spy-2")
		})
		l.denied("plain", "172.20.0.100:8080")
		l.MustDocker("rm", "-f", "spy-2")
		l.endpoint("plain", func(p report.Endpoint) bool { return !p.Quarantined })
		l.reaches("plain", "172.20.0.100:8080")

		l.run("audited", "exec sleep 1000", "--network", "mcp-audit", "--cap-add", "NET_ADMIN")
		p = l.endpoint("audited", func(p report.Endpoint) bool { return p.Admission.State == violates })
		if p.Quarantined || !p.Admission.WayOut {
			t.Errorf("audited: %+v", p)
		}
		l.sub("second network", (*lab).secondNetwork)
	})
}

// secondNetwork: a server that is connected to another network is cut off within 100 ms of the engine's event.
func (l *lab) secondNetwork() {
	server := testnet.FromPath(l.t, l.ContainerNetNS("plain"))
	gateway := netip.MustParseAddrPort("172.20.0.100:8080")
	var delays []time.Duration
	for range 3 {
		l.reaches("plain", gateway.String())
		began := time.Now()
		last := lastAnswer(server, gateway)
		l.MustDocker("network", "connect", "other", "plain")
		l.endpoint("plain", func(p report.Endpoint) bool { return p.Quarantined })
		time.Sleep(200 * time.Millisecond) // it does not slip in again when the list is read
		event := l.connected(began)
		delays = append(delays, last().Sub(event))
		l.denied("plain", gateway.String())
		l.MustDocker("network", "disconnect", "other", "plain")
		l.endpoint("plain", func(p report.Endpoint) bool { return !p.Quarantined })
	}
	l.t.Logf("from the engine's event to the last answer: %v", delays)
	if late := slices.Max(delays); late > 100*time.Millisecond {
		l.t.Errorf("answered %v after the event, want at most 100 ms", late)
	}
}

// lastAnswer asks all the time, until the returned function is called, which tells when the last answer came.
func lastAnswer(from *testnet.NS, to netip.AddrPort) (stop func() time.Time) {
	done, result := make(chan struct{}), make(chan time.Time)
	go func() {
		var last time.Time
		for {
			select {
			case <-done:
				result <- last
				return
			default:
			}
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			if c, err := from.Dial(ctx, "tcp", to); err == nil {
				last = time.Now()
				c.Close()
			}
			cancel()
			time.Sleep(2 * time.Millisecond)
		}
	}()
	return func() time.Time { close(done); return <-result }
}

// connected is when the engine told of the connection that was made since.
func (l *lab) connected(since time.Time) time.Time {
	l.t.Helper()
	out := l.MustDocker("events", "--since", fmt.Sprintf("%.9f", float64(since.UnixNano())/1e9), "--until", fmt.Sprintf("%.9f", float64(time.Now().UnixNano())/1e9),
		"--filter", "type=network", "--filter", "event=connect", "--format", "{{.TimeNano}}")
	nanoseconds, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		l.t.Fatalf("events: %q: %v", out, err)
	}
	return time.Unix(0, nanoseconds)
}

// TestAdmissionKilled: the plugin is killed while it decides, and the rules are flushed. Who does not conform never
// slips in, and who does is let in at last.
func TestAdmissionKilled(t *testing.T) {
	l := newHookLab(t, besideOthers(t), "", nil)
	l.createNetwork("-o", "mcpnet.caps.mode=enforce")
	l.run("gateway", serving("8080"), "--network", "mcp-secure", "--ip", "172.20.0.100")
	// It asks all the time, and says so if it is ever answered.
	const asking = `while true; do wget -q -T 1 -O /dev/null http://172.20.0.100:8080/ && touch /tmp/answered; usleep 20000; done`
	for round := range 6 {
		plain, good := fmt.Sprint("plain-", round), fmt.Sprint("good-", round)
		l.run(plain, asking, "--network", "mcp-secure")
		l.run(good, asking, "--network", "mcp-secure", "--runtime", "mcpnet")
		if round%2 == 0 {
			l.killPlugin()
		} else {
			l.host("nft", "flush", "ruleset")
		}
	}
	for round := range 6 {
		plain, good := fmt.Sprint("plain-", round), fmt.Sprint("good-", round)
		l.endpoint(good, func(p report.Endpoint) bool { return !p.Quarantined && p.Admission.State == conforms })
		l.reaches(good, "172.20.0.100:8080")
		l.endpoint(plain, func(p report.Endpoint) bool { return p.Quarantined && p.Admission.State == violates })
		if out, err := l.Docker("exec", plain, "ls", "/tmp/answered"); err == nil {
			t.Errorf("%s was answered: %s", plain, out)
		}
	}
}

// killPlugin ends the plugin as the OOM killer would; the engine starts it again.
func (l *lab) killPlugin() {
	l.t.Helper()
	if _, err := l.Exec("sh", "-c", `for p in /proc/[0-9]*; do [ "$(cat $p/comm)" = mcpnet-plugin ] && kill -9 ${p#/proc/}; done; true`); err != nil {
		l.t.Fatal(err)
	}
	time.Sleep(700 * time.Millisecond) // an engine disables a plugin that dies within half a second of its start
}
