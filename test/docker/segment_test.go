package docker_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/operator"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// segment is one mcpnet network of a lab with what is on it. Parts of a test that share an engine have one each.
type segment struct {
	*lab
	name   string
	prefix string // the first two bytes of its addresses
}

// segment makes a network whose gateway is at .0.100:8080; arguments of docker network create follow.
func (l *lab) segment(name, prefix string, args ...string) segment {
	l.t.Helper()
	l.MustDocker(slices.Concat([]string{"network", "create", "-d", "mcpnet", "--subnet", prefix + ".0.0/16", "--ip-range", prefix + ".240.0/20",
		"-o", "mcpnet.gateway=" + prefix + ".0.100:8080"}, args, []string{name})...)
	return segment{l, name, prefix}
}

func (s segment) at(rest string) string { return s.prefix + "." + rest }

// start runs a container of the network that serves on ports, and gives its name.
func (s segment) start(name, ports string, args ...string) string {
	s.t.Helper()
	full := s.name + "-" + name
	s.MustDocker(serveArgs(full, ports, append([]string{"--network", s.name}, args...)...)...)
	return full
}

// gateway runs a container at the gateway's address.
func (s segment) gateway(ports string, args ...string) string {
	s.t.Helper()
	return s.start("gateway", ports, append([]string{"--ip", s.at("0.100")}, args...)...)
}

// serveArgs are the arguments of a docker command that runs test/docker/peer, which ends on SIGTERM. A --stop-timeout
// of zero is too short: Docker then cleans up twice, and unmounts the file system of a container that it just
// restarted.
func serveArgs(name, ports string, args ...string) []string {
	run := append([]string{"run", "-d", "--stop-timeout", "5", "--name", name}, args...)
	return append(append(run, image, "/bin/peer", "serve"), strings.Fields(ports)...)
}

// status asks the plugin, over its socket inside the sandbox.
func (l *lab) status() report.Status {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	status, err := operator.NewClient(l.Path("/run/docker/plugins/mcpnet.sock")).Status(ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	return status
}

// endpoint waits until the plugin knows the container by name and the endpoint's role is the one given.
func (s segment) endpoint(container string, role topology.Role) report.Endpoint {
	s.t.Helper()
	var last []report.Endpoint
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, n := range s.status().Networks {
			if n.Name != s.name {
				continue
			}
			last = n.Endpoints
			for _, e := range last {
				if e.Container == container && e.Role == string(role) {
					return e
				}
			}
		}
	}
	s.t.Fatalf("network %s: %s is not a %s: %+v", s.name, container, role, last)
	return report.Endpoint{}
}

// bridge waits until the plugin has read the network's name from the engine's list.
func (s segment) bridge() string {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		for _, n := range s.status().Networks {
			if n.Name == s.name {
				return n.Bridge
			}
		}
	}
	s.t.Fatalf("network %s: the plugin does not know it", s.name)
	return ""
}

// inside is the network namespace of a container.
func (l *lab) inside(container string) *testnet.NS {
	l.t.Helper()
	return testnet.FromPath(l.t, l.ContainerNetNS(container))
}

// defaultRoute is the next hop of a container's default route, empty where it has none.
func (l *lab) defaultRoute(container string) string {
	l.t.Helper()
	fields := strings.Fields(l.inside(container).Run("ip", "-4", "route", "show", "default"))
	if len(fields) < 3 {
		return ""
	}
	return fields[2]
}

// refused is a connection that has to fail at once.
func (l *lab) refused(from, target string) {
	l.t.Helper()
	const atOnce = 100 * time.Millisecond
	a := l.peer(from, "tcp", target)
	if !a.Answered && a.Took > atOnce {
		// The machine may have been busy: what is refused at once is so the second time too. What answered did.
		a = l.peer(from, "tcp", target)
	}
	said := func(what string) bool { return strings.Contains(a.Detail, what) }
	if a.Answered || a.Took > atOnce || !(said("refused") || said("unreachable") || said("no route")) {
		l.t.Errorf("%s → %s: answered %v after %v: %s; want it refused at once", from, target, a.Answered, a.Took, a.Detail)
	}
}

// connects is a TCP connection that has to be accepted.
func (l *lab) connects(from, target string) {
	l.t.Helper()
	var a attempt
	for range 20 {
		if a = l.peer(from, "tcp", target); a.Answered {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.t.Errorf("%s → %s: %s", from, target, a.Detail)
}
