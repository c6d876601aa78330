package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/bench/load"
)

// measurement is a load on a path and what it shows.
type measurement struct {
	section string
	run     func(*path, time.Duration) (map[string]float64, error)
}

// metric is one number that a measurement shows.
type metric struct {
	id, section, what, unit string
	target                  *target // of the ratio to a plain bridge
	flat                    *target // of the ratio of many endpoints to one
}

// A throughput of 0.95 of the bridge's is met by a time of 1.05.
var metrics = []metric{
	{"tcp-1", "throughput", "one flow", "Gbit/s", atLeast(0.95), nil},
	{"tcp-4", "throughput", "four flows", "Gbit/s", atLeast(0.95), nil},
	{"answer", "latency", "median of an answer", "µs", atMost(1.05), nil},
	{"answers", "latency", "answers", "/s", atLeast(0.95), nil},
	{"connections", "connections", "connections", "/s", nil, nil},
	{"permitted", "packets", "permitted", "ns", atMost(1.05), atMost(1.1)},
	{"denied", "packets", "denied", "ns", nil, atMost(1.1)},
	{"refused", "packets", "refused", "ns", nil, atMost(1.1)},
}

var measurements = []measurement{
	{"throughput", bulk("tcp-1", 1)},
	{"throughput", bulk("tcp-4", 4)},
	{"latency", answers},
	{"connections", connections},
	{"packets", packets("permitted", (*path).permitted)},
	{"packets", packets("denied", (*path).denied)},
	{"packets", packets("refused", (*path).refused)},
}

// datapath measures all paths in turns, each load on one after the other.
func datapath(ctx context.Context, b *bench, t *testnet.Program) {
	paths := b.paths(ctx, t)
	for _, p := range paths {
		_, err := load.Run(p.server, 0, load.Spec{Kind: load.Ask, At: service, For: 50 * time.Millisecond})
		must(t, err, "%s: warm up", p)
	}
	for round := range b.Rounds {
		progress("  round %d of %d", round+1, b.Rounds)
		for _, m := range measurements {
			if b.wants(m.section) {
				b.turn(ctx, t, m, paths)
			}
		}
	}
	for _, m := range metrics {
		b.datapathRows(m)
	}
}

func (b *bench) paths(ctx context.Context, t *testnet.Program) []*path {
	var paths []*path
	for _, size := range []int{b.Small, b.Large} {
		progress("  networks of %s", endpoints(size))
		paths = append(paths, mcpnetPath(ctx, t, size), bridgePath(t, size))
	}
	paths = append(paths, cniPath(ctx, t))
	if filtersBridges() {
		paths = append(paths, classicPath(t, b.Large))
	} else {
		progress("  this kernel has no br_netfilter: nothing to compare the classic rule set with")
	}
	return paths
}

// turn does one measurement on every path. A different one begins each time: what runs before can leave a processor
// hot.
func (b *bench) turn(ctx context.Context, t *testnet.Program, m measurement, paths []*path) {
	for _, p := range paths {
		if ctx.Err() != nil {
			t.Fatalf("interrupted")
		}
		values, err := m.run(p, b.For)
		must(t, err, "%s", p)
		for id, v := range values {
			b.results.samples.add(p.String()+" "+id, v)
		}
	}
	slices.Reverse(paths)
}

func (b *bench) datapathRows(m metric) {
	series := func(fabric string, size int) string { return fmt.Sprintf("%s-%d %s", fabric, size, m.id) }
	line := func(suffix, what, beside string, t *target) row {
		return row{ID: m.id + suffix, Section: m.section, What: m.what + ", " + what, Unit: m.unit, Beside: beside, Target: t}
	}
	for _, size := range []int{b.Small, b.Large} {
		b.results.compare(line(fmt.Sprintf("-%d", size), endpoints(size), "bridge", m.target), series("mcpnet", size), series("bridge", size))
	}
	b.results.compare(line("-cni", endpoints(1)+", attached by CNI", "bridge", m.target), series("cni", 1), series("bridge", b.Small))
	if m.flat != nil {
		b.results.compare(line("-flat", endpoints(b.Large), "mcpnet, "+endpoints(b.Small), m.flat), series("mcpnet", b.Large), series("mcpnet", b.Small))
	}
	b.results.compare(line("-classic", endpoints(b.Large), "classic", nil), series("mcpnet", b.Large), series("classic", b.Large))
	b.results.compare(line("-unfiltered", "classic, "+endpoints(b.Large), "bridge", nil), series("classic", b.Large), series("bridge", b.Large))
}

func endpoints(n int) string {
	if n == 1 {
		return "1 endpoint"
	}
	return fmt.Sprintf("%d endpoints", n)
}

func bulk(id string, flows int) func(*path, time.Duration) (map[string]float64, error) {
	return func(p *path, d time.Duration) (map[string]float64, error) {
		r, err := load.Run(p.server, 0, load.Spec{Kind: load.Bulk, At: service, Flows: flows, For: d})
		return map[string]float64{id: r.PerSecond / 1e9}, err
	}
}

func answers(p *path, d time.Duration) (map[string]float64, error) {
	r, err := load.Run(p.server, 0, load.Spec{Kind: load.Ask, At: service, For: d})
	return map[string]float64{"answer": float64(r.Median.Nanoseconds()) / 1e3, "answers": r.PerSecond}, err
}

func connections(p *path, d time.Duration) (map[string]float64, error) {
	r, err := load.Run(p.server, 0, load.Spec{Kind: load.Connect, At: service, Flows: 2, For: d})
	return map[string]float64{"connections": r.PerSecond}, err
}

// packets also looks whether the frames arrived that should, and none that should not: otherwise another path is
// measured.
func packets(id string, make func(*path) []byte) func(*path, time.Duration) (map[string]float64, error) {
	return func(p *path, d time.Duration) (map[string]float64, error) {
		before := p.received()
		r, err := load.Run(p.server, 0, load.Spec{Kind: load.Packets, Device: "eth0", Frame: make(p), For: d / 2})
		if err != nil {
			return nil, err
		}
		arrived := float64(p.received()-before) / float64(r.Sent)
		passes := id == "permitted" || p.fabric == "bridge"
		if passes && arrived < 0.99 || !passes && arrived > 0.001 {
			return nil, fmt.Errorf("%s: %.1f %% of %d frames arrived", id, 100*arrived, r.Sent)
		}
		return map[string]float64{id: r.PerPacket}, nil
	}
}
