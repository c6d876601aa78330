package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// cniCalls measures CNI's ADD and DEL beside each number of endpoints, then many at once.
func cniCalls(ctx context.Context, b *bench, t *testnet.Program) {
	bySize := map[int][]*cniHost{}
	for _, size := range b.cniSizes() {
		for _, chain := range cniChains {
			bySize[size] = append(bySize[size], newCNIHost(ctx, t, chain, size))
		}
	}
	if b.wants("cni") {
		b.cniTurns(ctx, t, bySize)
		b.cniRows("ADD", atMost(0.35), atMost(1.2))
		b.cniRows("DEL", atMost(1), nil)
	}
	if b.wants("cni-crowd") {
		b.cniCrowds(ctx, t, bySize[b.Small])
	}
}

// cniSizes are the numbers of endpoints that the wanted sections need.
func (b *bench) cniSizes() []int {
	if !b.wants("cni") {
		return []int{b.Small}
	}
	return []int{b.Small, b.Middle, b.Large}
}

// leastCalls is how many a 99th percentile needs.
const leastCalls = 100

// cniTurns asks one host after the other for a container more, and takes it away again. What is compared are
// neighbours: the chains beside as many endpoints, and mcpnet beside few and beside many.
func (b *bench) cniTurns(ctx context.Context, t *testnet.Program, bySize map[int][]*cniHost) {
	sizes, began := b.cniSizes(), time.Now()
	for cycle := range b.Calls {
		if cycle%20 == 0 {
			progress("  call %d of %d after %v", cycle, b.Calls, time.Since(began).Round(time.Second))
		}
		if cycle >= leastCalls && time.Since(began) > b.CallsFor {
			progress("  %d of %d calls took %v: enough", cycle, b.Calls, b.CallsFor)
			return
		}
		for _, size := range sizes {
			for _, h := range bySize[size] {
				if ctx.Err() != nil {
					t.Fatalf("interrupted")
				}
				add, del, err := h.turn(ctx)
				must(t, err, "call %d", cycle)
				b.results.samples.add(cniSeries("ADD", h.chain, size), milliseconds(add))
				b.results.samples.add(cniSeries("DEL", h.chain, size), milliseconds(del))
			}
			slices.Reverse(bySize[size])
		}
		slices.Reverse(sizes)
	}
}

func cniSeries(verb string, chain cniChain, size int) string {
	return fmt.Sprintf("%s %s %d", verb, chain.name, size)
}

// cniRows compares mcpnet with the chains at each number of endpoints, and with itself.
func (b *bench) cniRows(verb string, most, flat *target) {
	ours := func(size int) string { return cniSeries(verb, cniMcpnet, size) }
	for _, size := range []int{b.Small, b.Middle, b.Large} {
		line := func(share string, peer cniChain, t *target) row {
			return row{ID: fmt.Sprintf("cni-%s-%d-%s-%s", verb, size, share, peer.name), Section: "cni", What: fmt.Sprintf("%s beside %s, %s", verb, endpoints(size), share),
				Unit: "ms", Beside: peer.name, Target: t}
		}
		b.results.compare(line("p50", cniReference, most), ours(size), cniSeries(verb, cniReference, size))
		b.results.compare(line("p50", cniPortmap, nil), ours(size), cniSeries(verb, cniPortmap, size))
		b.results.face(line("p99", cniReference, nil), ours(size), cniSeries(verb, cniReference, size), 0.99)
		b.results.face(line("p99", cniPortmap, nil), ours(size), cniSeries(verb, cniPortmap, size), 0.99)
	}
	b.results.compare(row{ID: "cni-" + verb + "-flat", Section: "cni", What: verb + " beside " + endpoints(b.Large), Unit: "ms",
		Beside: "beside " + endpoints(b.Small), Target: flat}, ours(b.Large), ours(b.Small))
}
