package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// crowd is how many containers come at once.
const crowd = 50

// cniCrowds has a crowd come and go on one host after the other.
func (b *bench) cniCrowds(ctx context.Context, t *testnet.Program, hosts []*cniHost) {
	hosts = slices.Clone(hosts)
	var seats []*testnet.NS
	for range crowd {
		seats = append(seats, sandbox(t))
	}
	for round := range b.Crowds {
		progress("  crowd %d of %d", round+1, b.Crowds)
		for _, h := range hosts {
			if ctx.Err() != nil {
				t.Fatalf("interrupted")
			}
			var calls []testcni.Call
			for _, seat := range seats {
				calls = append(calls, h.next(seat))
			}
			b.rush(t, h, "ADD", calls, func(c testcni.Call) error {
				_, err := h.network.Add(ctx, c)
				return err
			})
			b.rush(t, h, "DEL", calls, func(c testcni.Call) error { return h.network.Del(ctx, c) })
		}
		slices.Reverse(hosts)
	}
	b.crowdRows("ADD")
	b.crowdRows("DEL")
}

// rush makes all calls at once, and notes how long one of them takes, and the slowest, with which all are done.
func (b *bench) rush(t *testnet.Program, h *cniHost, verb string, calls []testcni.Call, call func(testcni.Call) error) {
	took, failed := make([]time.Duration, len(calls)), make([]error, len(calls))
	start := make(chan struct{})
	var all sync.WaitGroup
	for i, c := range calls {
		all.Go(func() {
			<-start
			began := time.Now()
			failed[i] = call(c)
			took[i] = time.Since(began)
		})
	}
	close(start)
	all.Wait()
	must(t, errors.Join(failed...), "%s: %d %ss at once", h, len(calls), verb)
	slices.Sort(took)
	b.results.samples.add(crowdSeries(verb, h.chain, "last"), milliseconds(took[len(took)-1]))
	b.results.samples.add(crowdSeries(verb, h.chain, "median"), milliseconds(took[len(took)/2]))
}

func crowdSeries(verb string, chain cniChain, what string) string {
	return fmt.Sprintf("%d %ss %s %s", crowd, verb, chain.name, what)
}

func (b *bench) crowdRows(verb string) {
	for _, m := range []struct{ id, what string }{{"last", "the slowest, until all are done"}, {"median", "the median of them"}} {
		for _, peer := range []cniChain{cniReference, cniPortmap} {
			b.results.compare(row{ID: fmt.Sprintf("cni-crowd-%s-%s-%s", verb, m.id, peer.name), Section: "cni-crowd", What: fmt.Sprintf("%d %ss at once, %s", crowd, verb, m.what),
				Unit: "ms", Beside: peer.name}, crowdSeries(verb, cniMcpnet, m.id), crowdSeries(verb, peer, m.id))
		}
	}
}
