package docker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const crowd = 50

// TestMany starts many servers at once, and takes things away in orders that nobody should choose.
func TestMany(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, l *lab) {
		s := l.segment("crowd", "172.21")
		s.gateway("8080")
		l.sub("fifty at once", func(l *lab) { segment{l, s.name, s.prefix}.fifty() })
		l.sub("wrong order", func(l *lab) { segment{l, s.name, s.prefix}.wrongOrder() })
		l.sub("removed while starting", func(l *lab) { segment{l, s.name, s.prefix}.removedWhileStarting() })
		l.sub("all gone", func(l *lab) { segment{l, s.name, s.prefix}.allGone() })
	})
}

func member(i int) string { return fmt.Sprintf("crowd-%02d", i) }

// everyMember runs f for each server of the crowd, many at a time, and reports every error.
func (s segment) everyMember(f func(i int) error) {
	s.t.Helper()
	var wg sync.WaitGroup
	turns := make(chan struct{}, 25)
	errs := make([]error, crowd)
	for i := range crowd {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			errs[i] = f(i)
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			s.t.Errorf("%s: %v", member(i), err)
		}
	}
}

func (s segment) fifty() {
	began := time.Now()
	var wg sync.WaitGroup
	errs := make(chan error, crowd)
	for i := range crowd {
		wg.Go(func() {
			_, err := s.Docker(serveArgs(member(i), "3000", "--network", s.name)...)
			errs <- err
		})
	}
	wg.Wait()
	s.t.Logf("%d containers run after %v", crowd, time.Since(began).Round(100*time.Millisecond))
	for range crowd {
		if err := <-errs; err != nil {
			s.t.Fatal(err)
		}
	}
	s.everyMember(func(i int) error {
		if a, err := s.try(member(i), "/bin/peer", "tcp", s.at("0.100:8080")); err != nil || !a.Answered {
			return fmt.Errorf("does not reach the gateway: %+v %v", a, err)
		}
		if a, err := s.try(member(i), "/bin/peer", "tcp", member((i+1)%crowd)+":3000"); err != nil || a.Answered {
			return fmt.Errorf("the next server: %+v %v", a, err)
		}
		return nil
	})
	s.connects("crowd-gateway", member(crowd-1)+":3000")
	if up := s.countUp(); up != crowd+1 {
		s.t.Errorf("status: %d endpoints are up", up)
	}
}

func (s segment) countUp() (up int) {
	s.t.Helper()
	for _, n := range s.status().Networks {
		for _, e := range n.Endpoints {
			if e.State == "up" && (e.Role == string(topology.RoleServer) || e.Role == string(topology.RoleGateway)) {
				up++
			}
		}
	}
	return up
}

// wrongOrder takes away what others still need, and then finds everything as it was.
func (s segment) wrongOrder() {
	s.refuses("network rm "+s.name, "active endpoints")
	// Docker counts the networks of a managed plugin by the full name of their driver, not by the alias.
	s.MustDocker("network", "create", "-d", testengine.PluginName, "--subnet", "172.22.0.0/16", "-o", "mcpnet.gateway=172.22.0.100:80", "counted")
	s.refuses("plugin disable "+testengine.PluginName, "in use")
	s.refuses("plugin rm "+testengine.PluginName, "in use")
	s.MustDocker("network", "rm", "counted")

	s.MustDocker("plugin", "disable", testengine.PluginName)
	s.stands()
	s.MustDocker("plugin", "enable", testengine.PluginName)
	s.stands()
	if up := s.countUp(); up != crowd+1 {
		s.t.Errorf("status: %d endpoints are up", up)
	}
}

func (s segment) refuses(command, says string) {
	s.t.Helper()
	if out, err := s.Docker(strings.Fields(command)...); err == nil || !strings.Contains(err.Error(), says) {
		s.t.Errorf("docker %s: %s %v, want an error with %q", command, out, err, says)
	}
}

// stands is the policy between the gateway and servers.
func (s segment) stands() {
	s.t.Helper()
	s.connects(member(0), s.at("0.100:8080"))
	s.connects("crowd-gateway", member(0)+":3000")
	s.refused(member(0), s.at("0.100:9090"))
	s.denied(member(0), member(1)+":3000")
}

// removedWhileStarting takes containers away in the middle of their start, at ten different moments.
func (s segment) removedWhileStarting() {
	for i := range 10 {
		name := fmt.Sprintf("brief-%d", i)
		s.MustDocker(append([]string{"create"}, serveArgs(name, "3000", "--network", s.name)[2:]...)...)
		started := make(chan struct{})
		go func() {
			s.Docker("start", name) // fails or not, as it happens
			close(started)
		}()
		time.Sleep(time.Duration(i) * 40 * time.Millisecond)
		_, err := s.Docker("rm", "-f", name)
		<-started
		if err != nil { // Docker's own race: the container was between two states
			s.Docker("rm", "-f", name)
		}
	}
	for range 40 {
		if s.countUp() == crowd+1 && len(s.wires()) == crowd+1 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if up, wires := s.countUp(), s.wires(); up != crowd+1 || len(wires) != crowd+1 {
		s.t.Errorf("%d endpoints are up, %d wires are there, want %d", up, len(wires), crowd+1)
	}
	late := s.start("late", "3000")
	s.connects(late, s.at("0.100:8080"))
	s.MustDocker("rm", "-f", late)
}

// wires are the interfaces of endpoints in the network's namespace.
func (s segment) wires() []string {
	s.t.Helper()
	space := s.space(s.bridge())
	defer space.Idle()
	return linksOf(s.t, space, topology.WirePrefix)
}

// linksOf are the names of a namespace's links that begin with a prefix.
func linksOf(t *testing.T, in *testnet.NS, prefix string) (out []string) {
	t.Helper()
	links, err := in.Links()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if strings.HasPrefix(link.Attrs().Name, prefix) {
			out = append(out, link.Attrs().Name)
		}
	}
	return out
}

// allGone removes everything at once, the gateway first, and finds the host as it was.
func (s segment) allGone() {
	s.MustDocker("rm", "-f", "crowd-gateway")
	began := time.Now()
	args := []string{"rm", "-f"}
	for i := range crowd {
		args = append(args, member(i))
	}
	s.MustDocker(args...)
	s.t.Logf("%d containers gone after %v", crowd, time.Since(began).Round(100*time.Millisecond))
	if wires := s.wires(); len(wires) > 0 {
		s.t.Errorf("left behind: %v", wires)
	}
	s.MustDocker("network", "rm", s.name)
	s.clean()
	s.MustDocker("plugin", "disable", testengine.PluginName)
	s.MustDocker("plugin", "rm", testengine.PluginName)
}
