package resident_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestTruncatedDocuments cuts each document off at every byte. None may be read as something else, or stop a start.
func TestTruncatedDocuments(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := faultNetwork
	n.Owner = topology.OwnerDocker
	for _, err := range []error{s.PutNetwork(n), s.PutEndpoint(faultServer, true)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range documents(t, dir) {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for size := range whole {
			write(t, path, whole[:size])
			c, err := s.Load()
			if err != nil || len(c.Problems) != 1 || !strings.Contains(c.Problems[0].Error(), path) ||
				len(c.Networks)+len(c.Endpoints) != 1 {
				t.Fatalf("%s, %d of %d bytes: %+v, %v", path, size, len(whole), c, err)
			}
		}
		write(t, path, whole)
	}
	if c, err := s.Load(); err != nil || len(c.Problems) > 0 || len(c.Networks)+len(c.Endpoints) != 2 {
		t.Errorf("whole again: %+v, %v", c, err)
	}
}

func documents(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "v2/*/*.json"))
	more, err2 := filepath.Glob(filepath.Join(dir, "v2/*/endpoints/*.json"))
	if err != nil || err2 != nil || len(found)+len(more) == 0 {
		t.Fatalf("no documents: %v, %v", err, err2)
	}
	return append(found, more...)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBrokenStore starts an engine over a store that lost something, with containers that run and attack. The container
// engine's list then gives back what is missing, as the plugin's recorder does.
func TestBrokenStore(t *testing.T) {
	half := func(name string) func(*testing.T, *faultHost) {
		return func(t *testing.T, g *faultHost) {
			for _, path := range documents(t, g.store) {
				if data, err := os.ReadFile(path); err == nil && strings.HasSuffix(path, name) {
					write(t, path, data[:len(data)/2])
				}
			}
		}
	}
	for name, harm := range map[string]func(*testing.T, *faultHost){
		"network cut":  half("network.json"),
		"endpoint cut": half("server.json"),
		"all cut":      half(".json"),
		"store gone":   func(t *testing.T, g *faultHost) { g.check(os.RemoveAll(filepath.Join(g.store, "v2"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newFaultHost(t)
			e := g.populate()
			s, _ := g.attack(faultServer)
			g.check(e.Close())
			harm(t, g)

			e = g.reopen()
			defer e.Close()
			g.check(e.Start(t.Context()))
			status, err := e.Status(t.Context())
			g.check(err)
			unreadable := func(f report.Finding) bool { return f.Code == report.CodeDocument && f.Severity == report.Failure }
			if name != "store gone" && !slices.ContainsFunc(status.Findings, unreadable) {
				t.Errorf("status finds: %+v", status.Findings)
			}
			g.holds(s, true)
			g.relearn(e)
			g.settled(e)
			g.holds(s, true)
			g.check(e.DeleteNetwork(t.Context(), faultNetwork.ID))
			g.clean()
			g.holds(s, false)
		})
	}
}

// populate makes the network with a gateway and two servers.
func (g *faultHost) populate() *resident.Front {
	g.t.Helper()
	e := g.open()
	g.check(e.CreateNetwork(g.t.Context(), faultNetwork))
	for _, p := range []topology.Endpoint{faultGateway, faultServer, faultOther} {
		g.attach(e, p)
	}
	return e
}

// relearn tells the engine what the container engine lists.
func (g *faultHost) relearn(e *resident.Front) {
	g.t.Helper()
	g.check(e.CreateNetwork(g.t.Context(), faultNetwork))
	g.check(e.Adopt(g.t.Context(), []topology.Endpoint{faultGateway, faultServer, faultOther}))
	g.check(e.Collect(g.t.Context()))
}

// TestReboot starts an engine on a host whose kernel knows nothing, with the store of before: networks are back at
// once, endpoints are forgotten, and the same containers can be attached anew.
func TestReboot(t *testing.T) {
	g := newFaultHost(t)
	g.check(g.populate().Close())
	g.world, g.boxes = testnet.NewWorld(t), map[string]*testnet.NS{}
	e := g.open()
	defer e.Close()
	g.settled(e)
	if left, err := e.Endpoints(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("endpoints after a reboot: %v, %v", left, err)
	}
	for _, p := range []topology.Endpoint{faultServer, faultOther, faultGateway} {
		g.attach(e, p)
	}
	s, _ := g.attack(faultServer)
	g.holds(s, true)
}

// TestLegacyFlush flushes iptables of the older kind, which tells nobody.
func TestLegacyFlush(t *testing.T) {
	g := newFaultHost(t)
	if out, err := g.world.Host.Output("sh", "-c",
		"iptables-legacy -N DOCKER-USER && iptables-legacy -I FORWARD -j DOCKER-USER"); err != nil {
		testnet.Lacks(t, "iptables-legacy", out)
	}
	e := g.populate()
	defer e.Close()
	status, err := e.Status(t.Context())
	g.check(err)
	if status.Layers.IPTables != "legacy" {
		t.Fatalf("iptables in use: %q", status.Layers.IPTables)
	}
	s, _ := g.attack(faultServer)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Watch(ctx) }()
	defer func() { stop(); <-done }()
	g.world.Host.Run("sh", "-c", "iptables-legacy -F; iptables-legacy -X; iptables-legacy -t nat -F")
	took, err := within(30*time.Second, func() bool {
		_, err := g.world.Host.Output("iptables-legacy", "-C", "FORWARD", "-j", "DOCKER-MCP")
		return err == nil
	})
	g.check(err)
	t.Logf("iptables-legacy: back after %v", took)
	g.holds(s, true)
}
