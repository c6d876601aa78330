package docker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/report"
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

// TestAdmissionAudit: by default nothing is held up, and the same reasons are shown.
func TestAdmissionAudit(t *testing.T) {
	l := newHookLab(t, versions()[len(versions())-1], "", nil)
	l.createNetwork()
	l.run("gateway", serving("8080"), "--network", "mcp-secure", "--ip", "172.20.0.100")
	l.run("plain", "exec sleep 1000", "--network", "mcp-secure")
	l.reaches("plain", "172.20.0.100:8080")
	p := l.endpoint("plain", func(p report.Endpoint) bool { return p.Admission.State == violates })
	if p.Quarantined || !strings.Contains(p.Admission.Reason, "--runtime mcpnet") {
		t.Errorf("plain: %+v", p)
	}
	g := l.endpoint("gateway", func(p report.Endpoint) bool { return true })
	if g.Admission.State != "" {
		t.Errorf("a gateway is looked at: %+v", g)
	}
}

// TestAdmissionKilled: the plugin is killed while it decides, and the rules are flushed. Who does not conform never
// slips in, and who does is let in at last.
func TestAdmissionKilled(t *testing.T) {
	l := newHookLab(t, versions()[len(versions())-1], "", nil)
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
			l.world.Host.Run("nft", "flush", "ruleset")
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
