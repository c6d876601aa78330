package nft_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// TestObserveBesideChanges: what is there is listed, whatever comes and goes beside it. The kernel lists in parts, and
// leaves out what a change moves.
func TestObserveBesideChanges(t *testing.T) {
	b := newBench(t, firewall.Features{})
	b.load()
	var want []string
	text := "add chain netdev mcpnet aside\nadd chain netdev mcpnet crowd\n"
	for i := range 600 {
		id := fmt.Sprintf("rule-%04d", i)
		want = append(want, id)
		text += fmt.Sprintf("add rule netdev mcpnet crowd meta l4proto tcp counter comment %q\n", id)
	}
	b.ns.RunInput(text, "nft", "-f", "-")
	some := strings.Repeat("add rule netdev mcpnet aside counter\n", 50)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				b.ns.RunInput(some, "nft", "-f", "-")
				b.ns.RunInput("flush chain netdev mcpnet aside\n", "nft", "-f", "-")
			}
		}
	}()
	defer func() { close(stop); <-ended }()
	for range 80 {
		state, err := b.nft.Observe(nil, nil)
		check(t, err)
		if got := state.Chains[firewall.NetDev]["crowd"]; !slices.Equal(got, want) {
			t.Fatalf("%d of %d rules are listed", len(got), len(want))
		}
	}
}
