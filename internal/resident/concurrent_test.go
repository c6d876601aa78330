package resident_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

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

func testAsync(f func() error) chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}
