package firewalld_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewalld"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoBus: a host without a system bus has no firewalld. Something that is no bus is an error.
func TestNoBus(t *testing.T) {
	dir := t.TempDir()
	none := "unix:path=" + filepath.Join(dir, "bus")
	if _, err := firewalld.Open(t.Context(), none); !errors.Is(err, firewalld.ErrAbsent) {
		t.Errorf("no bus: %v", err)
	}
	for _, bus := range []string{"unix:path=" + dir, "nonsense"} {
		if _, err := firewalld.Open(t.Context(), bus); err == nil || errors.Is(err, firewalld.ErrAbsent) {
			t.Errorf("%s: %v", bus, err)
		}
	}
}

// TestFirewalld asks a real one.
func TestFirewalld(t *testing.T) {
	for _, version := range testengine.SelectedFirewalld() {
		t.Run(version, func(t *testing.T) { testFirewalld(t, version) })
	}
}

func testFirewalld(t *testing.T, version string) {
	daemon := testengine.StartFirewalld(t, version, testnet.New(t, "host").Path())
	told := watch(t, daemon.Bus())
	f, err := firewalld.Open(t.Context(), daemon.Bus())
	check(t, err)
	defer f.Close()
	holds(t, f, false, nil)
	check(t, f.Leave(t.Context(), "up0")) // the zone is not there yet

	before := told.Load()
	check(t, f.Prepare(t.Context()))
	testhost.Within(t, time.Second, "a reload is told", func() bool { return told.Load() > before })
	before = told.Load()
	check(t, f.Prepare(t.Context())) // what is there is not made again
	time.Sleep(100 * time.Millisecond)
	if told.Load() != before {
		t.Error("firewalld is reloaded though it has all that is needed")
	}

	check(t, f.Join(t.Context(), "up0"))
	check(t, f.Join(t.Context(), "up0"))
	holds(t, f, true, map[string]string{"up0": topology.FirewallZone})
	daemon.Cmd("--zone=home", "--change-interface=up0")
	if err := f.Join(t.Context(), "up0"); err == nil {
		t.Error("an interface is taken out of somebody's zone")
	}
	check(t, f.Leave(t.Context(), "up0"))
	holds(t, f, true, map[string]string{"up0": "home"})
	daemon.Cmd("--zone=home", "--remove-interface=up0")
	check(t, f.Join(t.Context(), "up0"))
	check(t, f.Leave(t.Context(), "up0"))
	check(t, f.Leave(t.Context(), "up0"))
	holds(t, f, true, nil)

	daemon.Cmd("--permanent", "--policy=mcpnet-egress", "--set-target=REJECT") // an administrator's
	daemon.Cmd("--permanent", "--delete-zone=mcpnet")
	daemon.Cmd("--permanent", "--new-zone=mcpnet")
	check(t, f.Prepare(t.Context()))
	if target := daemon.Cmd("--permanent", "--policy=mcpnet-egress", "--get-target"); target != "REJECT" {
		t.Errorf("the policy that an administrator changed has the target %s", target)
	}
	ends(t, daemon, told)
}

// ends: a firewalld that has ended is absent, and its next start is told.
func ends(t *testing.T, daemon *testengine.Firewalld, told *atomic.Int64) {
	t.Helper()
	daemon.Stop()
	if _, err := firewalld.Open(t.Context(), daemon.Bus()); !errors.Is(err, firewalld.ErrAbsent) {
		t.Errorf("firewalld has ended: %v", err)
	}
	before := told.Load()
	daemon.Restart()
	testhost.Within(t, time.Second, "a start is told", func() bool { return told.Load() > before })
}

func watch(t *testing.T, bus string) *atomic.Int64 {
	t.Helper()
	var told atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- firewalld.Watch(ctx, bus, func() { told.Add(1) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("watch: %v", err)
		}
	})
	testhost.Within(t, 5*time.Second, "the watch begins", func() bool { return told.Load() > 0 })
	return &told
}

// holds compares what firewalld has in force.
func holds(t *testing.T, f *firewalld.Firewall, prepared bool, zones map[string]string) {
	t.Helper()
	s, err := f.State(t.Context())
	check(t, err)
	if s.Prepared != prepared || len(s.Zones) != len(zones) || s.Zones["up0"] != zones["up0"] {
		t.Errorf("%+v, want prepared %v, zones %v", s, prepared, zones)
	}
}

// BenchmarkOpen is what an attachment of a gateway pays: where there is no bus, where firewalld does not run, and where
// it does.
func BenchmarkOpen(b *testing.B) {
	b.Run("no-bus", func(b *testing.B) {
		bus := "unix:path=" + filepath.Join(b.TempDir(), "bus")
		for b.Loop() {
			_, _ = firewalld.Open(b.Context(), bus)
		}
	})
	daemon := testengine.StartFirewalld(b, "1.3", testnet.New(b, "host").Path())
	b.Run("state", func(b *testing.B) {
		for b.Loop() {
			f, err := firewalld.Open(b.Context(), daemon.Bus())
			check(b, err)
			_, err = f.State(b.Context())
			check(b, errors.Join(err, f.Close()))
		}
	})
	daemon.Stop()
	b.Run("no-firewalld", func(b *testing.B) {
		for b.Loop() {
			_, _ = firewalld.Open(b.Context(), daemon.Bus())
		}
	})
}
