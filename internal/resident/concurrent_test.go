package resident_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestConcurrent: fifty containers come and go at once, as an engine does it, and nothing is left.
func TestConcurrent(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	before := f.State()
	var wait sync.WaitGroup
	failed := make(chan error, 50)
	for i := range cap(failed) {
		wait.Go(func() { failed <- comeAndGo(f, fmt.Sprintf("c%d", i), fmt.Sprintf("172.20.240.%d", i+1)) })
	}
	wait.Wait()
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	f.Same(before)
	f.Settled()
}

func comeAndGo(f *testhost.Docker, id, ip string) error {
	ctx := f.T.Context()
	if _, err := f.Front.CreateEndpoint(ctx, topology.Endpoint{ID: id, NetworkID: testhost.NetworkID,
		IP: netip.MustParseAddr(ip), Role: topology.RoleServer}); err != nil {
		return err
	}
	if _, err := f.Front.Join(ctx, testhost.NetworkID, id); err != nil {
		return err
	}
	if err := f.Front.Leave(ctx, testhost.NetworkID, id); err != nil {
		return err
	}
	return f.Front.DeleteEndpoint(ctx, testhost.NetworkID, id)
}

// TestSuccessorBeforeTheEnd: an address that is taken again while its last holder's wire is still being deleted belongs
// to the successor: the end of the first must not take the second's way.
func TestSuccessorBeforeTheEnd(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	make := func(id string) error {
		_, err := f.Front.CreateEndpoint(t.Context(), topology.Endpoint{ID: id, NetworkID: testhost.NetworkID,
			IP: netip.MustParseAddr("172.20.240.1"), Role: topology.RoleServer})
		return err
	}
	f.Check(make("0"))
	for i := range 20 {
		gone := testAsync(func() error { return f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, fmt.Sprint(i)) })
		next := fmt.Sprint(i + 1)
		for make(next) != nil { // held until the first is on its way out
			time.Sleep(time.Millisecond)
		}
		f.Check(<-gone)
		if t.Failed() {
			return
		}
		f.Settled()
	}
}

// TestSuccessorMeanwhile: the successor comes just when its predecessor's link goes, and keeps all that leads to the
// address.
func TestSuccessorMeanwhile(t *testing.T) {
	testhost.OnBothKernels(t, func(t *testing.T, f *testhost.Docker) {
		f.Network(testhost.OneGateway)
		f.Close()
		make := func(id string) error {
			_, err := f.Front.CreateEndpoint(t.Context(), topology.Endpoint{ID: id, NetworkID: testhost.NetworkID,
				IP: netip.MustParseAddr("172.20.240.1"), Role: topology.RoleServer})
			return err
		}
		wire, came := topology.Endpoint{ID: "first", Owner: topology.OwnerDocker}.Wire(), false
		f.OnStep = func(s plan.Step) {
			if d, deletes := s.Action.(plan.DeleteLink); deletes && d.Name == wire && !came {
				came = true
				f.Check(make("second"))
			}
		}
		f.Open()
		f.Check(make("first"))
		f.Check(f.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "first"))
		if !came {
			t.Fatal("no link was deleted")
		}
		f.Settled()
	})
}

// TestLeave: a container that leaves has no way any more, before its endpoint is removed.
func TestLeave(t *testing.T) {
	f := testhost.NewDocker(t)
	f.Network(testhost.OneGateway)
	a, g := f.Container("a", "172.20.240.1", topology.RoleServer), f.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, g, 8080)
	f.Reaches(a, "172.20.0.100/8080", true)
	f.Check(f.Front.Leave(t.Context(), testhost.NetworkID, "a"))
	if state := f.Endpoint("a").State; state != report.StateDown {
		t.Errorf("state %s", state)
	}
	testhost.Silent(t, a, "172.20.0.100/8080")
	f.Settled()
}

func testAsync(f func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}
