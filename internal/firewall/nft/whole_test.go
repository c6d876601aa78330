package nft_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// crowd is a chain with more rules than a part of a list holds.
const crowd = "crowd"

// loadCrowd gives the ids of its rules.
func (b *bench) loadCrowd() (ids []string) {
	text := "add chain netdev mcpnet aside\nadd chain netdev mcpnet " + crowd + "\n"
	for i := range 600 {
		ids = append(ids, fmt.Sprintf("rule-%04d", i))
		text += fmt.Sprintf("add rule netdev mcpnet %s meta l4proto tcp counter comment %q\n", crowd, ids[i])
	}
	b.ns.RunInput(text, "nft", "-f", "-")
	return ids
}

// meanwhile changes rules again and again until the test ends.
func meanwhile(t *testing.T, change func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				change()
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-ended })
}

// own leaves out the rules that somebody else puts into the crowd.
func own(ids []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == "" })
}

// TestObserveBesideChanges: what is there is listed, whatever comes and goes beside it. The kernel lists in parts, and
// leaves out what a change moves.
func TestObserveBesideChanges(t *testing.T) {
	b := newBench(t, firewall.Features{})
	b.load()
	want := b.loadCrowd()
	some := strings.Repeat("add rule netdev mcpnet aside counter\n", 50)
	meanwhile(t, func() {
		b.ns.RunInput(some, "nft", "-f", "-")
		b.ns.RunInput("flush chain netdev mcpnet aside\n", "nft", "-f", "-")
	})
	for range 80 {
		state, err := b.nft.Observe(nil, nil)
		check(t, err)
		if got := state.Chains[firewall.NetDev][crowd]; !slices.Equal(got, want) {
			t.Fatalf("%d of %d rules are listed", len(got), len(want))
		}
	}
}

// TestObserveOnlyBesideChanges is the same for chains that are listed by their names. Only a change within one moves
// anything there.
func TestObserveOnlyBesideChanges(t *testing.T) {
	b := newBench(t, firewall.Features{})
	b.load()
	want := b.loadCrowd()
	some := strings.Repeat("insert rule netdev mcpnet "+crowd+" counter\n", 50)
	handle := regexp.MustCompile(`# handle (\d+)`)
	meanwhile(t, func() {
		text := ""
		for _, made := range handle.FindAllStringSubmatch(b.ns.RunInput(some, "nft", "-e", "-a", "-f", "-"), -1) {
			text += "delete rule netdev mcpnet " + crowd + " handle " + made[1] + "\n"
		}
		b.ns.RunInput(text, "nft", "-f", "-")
	})
	chain := firewall.Chain{Family: firewall.NetDev, Name: crowd}
	for range 150 {
		state, err := b.nft.ObserveOnly(firewall.Ruleset{Chains: []firewall.Chain{chain, chain}})
		check(t, err)
		got := own(state.Chains[firewall.NetDev][crowd])
		if !slices.Equal(got, slices.Concat(want, want)) {
			t.Fatalf("%d of twice %d rules are listed", len(got), len(want))
		}
	}
}
