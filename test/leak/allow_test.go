package leak

import (
	"slices"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestLeaksAllow: where servers have routes beyond the network, exactly what the list says opens, vector by vector. The
// first list opens nothing that a vector aims at. TestLeaks has the control.
func TestLeaksAllow(t *testing.T) {
	onePort := []string{"P1/connect-tcp", "P1/v4-tcp-to-internet"}
	engine := func(t testnet.T, options map[string]string) func(*testnet.World) Fabric {
		return NewMcpnet(t, map[string]string{"mcpnet.allow": options["allow"]})
	}
	for _, c := range []struct {
		name   string
		fabric func(testnet.T, map[string]string) func(*testnet.World) Fabric
		allow  string
		open   []string
	}{
		{"another address", engine, "203.0.113.77", nil},
		{"one port", engine, testnet.InternetHost.String() + ":80", onePort},
		// A connection, one that nobody saw begin, and names over HTTPS: what a list of all addresses is.
		{"all public space", engine, "0.0.0.0/0:443", []string{"P1/connect-tcp-443", "P1/tcp-ack", "P6/doh"}},
		{"one port by CNI", NewCNI, testnet.InternetHost.String() + ":80", onePort},
		{"one port by chained CNI", NewChainedCNI, testnet.InternetHost.String() + ":80", onePort},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seat, _ := NewSeat(t, c.name, c.fabric(t, map[string]string{"allow": c.allow}))
			report := Run(t, seat)
			if open := report.open(); !slices.Equal(open, c.open) {
				t.Errorf("open: %q, want %q", open, c.open)
			}
			for _, a := range report.Answers {
				if a.Took > a.Limit { // a refusal of the router's will do as well as a missing route
					t.Errorf("%s", a)
				}
			}
		})
	}
}

// open are the ids of the vectors that got through, in order.
func (r Report) open() (ids []string) {
	for _, f := range r.Findings {
		if len(f.Leaks) > 0 {
			ids = append(ids, f.ID)
		}
	}
	slices.Sort(ids)
	return ids
}
