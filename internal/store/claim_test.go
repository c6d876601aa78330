package store_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
)

var address = netip.MustParseAddr("172.20.240.1")

func TestClaim(t *testing.T) {
	s := open(t, t.TempDir())
	check(t, s.PutNetwork(network("n")))
	claim := func(id, want string) {
		t.Helper()
		if holder, err := s.Claim("n", address, id); err != nil || holder != want {
			t.Errorf("claim by %s: %q, %v; want %q", id, holder, err, want)
		}
	}
	check(t, s.Unclaim("n", address, "a")) // before there is any
	claim("a", "")
	claim("a", "")
	claim("b", "a")
	check(t, s.Unclaim("n", address, "b"))
	claim("b", "a")
	check(t, s.Unclaim("n", address, "a"))
	claim("b", "")
}

// TestRelease: every address that an endpoint holds is free, and no other's.
func TestRelease(t *testing.T) {
	s := open(t, t.TempDir())
	check(t, s.PutNetwork(network("n")))
	check(t, s.Release("n", "a")) // before there is any
	holders := map[netip.Addr]string{address: "a", address.Next(): "a", address.Next().Next(): "b"}
	for a, id := range holders {
		_, err := s.Claim("n", a, id)
		check(t, err)
	}
	check(t, s.Release("n", "a"))
	for a, id := range holders {
		want := ""
		if id == "b" {
			want = "b"
		}
		if holder, err := s.Claim("n", a, "c"); err != nil || holder != want {
			t.Errorf("%s: held by %q, %v, want %q", a, holder, err, want)
		}
	}
}

// TestClaimRace: many find an address with an endpoint that is gone, give it back and take it. One gets it.
func TestClaimRace(t *testing.T) {
	s := open(t, t.TempDir())
	check(t, s.PutNetwork(network("n")))
	for round := range 200 {
		if holder, err := s.Claim("n", address, "gone"); holder != "" || err != nil {
			t.Fatal(holder, err)
		}
		var winner atomic.Pointer[string]
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				id := fmt.Sprintf("e%d", i)
				if err := s.Unclaim("n", address, "gone"); err != nil {
					t.Error(err)
				}
				holder, err := s.Claim("n", address, id)
				if err != nil {
					t.Error(err)
				}
				if holder == "" && !winner.CompareAndSwap(nil, &id) {
					t.Errorf("round %d: %s and %s both have the address", round, *winner.Load(), id)
				}
			})
		}
		group.Wait()
		if winner.Load() == nil {
			t.Fatalf("round %d: nobody has the address", round)
		}
		check(t, s.Unclaim("n", address, *winner.Load()))
	}
}
