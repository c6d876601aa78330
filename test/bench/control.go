package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// control measures the driver: one beside each number of endpoints.
func control(ctx context.Context, b *bench, t *testnet.Program) {
	binary := testengine.GoFile(t, "/mcpnet-plugin", "plugin").Source
	var drivers []*driver
	for _, size := range []int{b.Small, b.Middle, b.Large} {
		progress("  a driver with %s", endpoints(size))
		d := startDriver(t, binary)
		if size == b.Small {
			b.readMemory(t, d, 0)
		}
		d.fill(size)
		b.readMemory(t, d, size)
		drivers = append(drivers, d)
	}
	if b.wants("attach") {
		b.attaches(ctx, t, append(b.newerDrivers(t, binary), drivers...))
	}
	if b.wants("repair") {
		b.repairs(ctx, t, drivers[1:])
	}
	if b.wants("memory") {
		b.memoryRows(t, drivers[2])
	}
}

// oneChain tells the drivers that have one chain for all wires.
const oneChain = ", one chain"

// newerDrivers are drivers that have one chain for all wires, where the machine's own nft command does not list one
// and a newer one does.
func (b *bench) newerDrivers(t *testnet.Program, binary string) (drivers []*driver) {
	path := newerNFT(t)
	if path == "" {
		return nil
	}
	for _, size := range []int{b.Small, b.Large} {
		progress("  a driver with a newer nft and %s", endpoints(size))
		d := startDriver(t, binary, "PATH="+path)
		d.variant = oneChain
		d.fill(size)
		drivers = append(drivers, d)
	}
	return drivers
}

// readMemory also reads what the driver has when nobody asks it anything.
func (b *bench) readMemory(t *testnet.Program, d *driver, size int) {
	time.Sleep(500 * time.Millisecond)
	resident, err := d.memory("VmRSS")
	must(t, err, "memory")
	b.results.samples.add(fmt.Sprintf("rss %d", size), resident)
}

func (b *bench) memoryRows(t *testnet.Program, large *driver) {
	for _, size := range []int{0, b.Middle, b.Large} {
		line := row{ID: fmt.Sprintf("rss-%d", size), Section: "memory", What: "resident, " + endpoints(size), Unit: "MiB"}
		if size == b.Large {
			line.Target = atMost(30)
		}
		b.results.state(line, fmt.Sprintf("rss %d", size), 0.5)
	}
	peak, err := large.memory("VmHWM")
	must(t, err, "memory")
	b.results.samples.add("peak", peak)
	what := fmt.Sprintf("highest ever, %s, with the attaches and repairs that were measured", endpoints(b.Large))
	b.results.state(row{ID: "peak", Section: "memory", What: what, Unit: "MiB"}, "peak", 0.5)
}

// attaches asks one driver after the other for one more endpoint, and takes it away again.
func (b *bench) attaches(ctx context.Context, t *testnet.Program, drivers []*driver) {
	drivers = slices.Clone(drivers)
	for cycle := range b.Cycles {
		slices.Reverse(drivers)
		if cycle%50 == 0 {
			progress("  attach %d of %d", cycle, b.Cycles)
		}
		for _, d := range drivers {
			if ctx.Err() != nil {
				t.Fatalf("interrupted")
			}
			i := d.size + cycle
			began := time.Now()
			_, err := d.attachServer(i)
			must(t, err, "attach beside %d", d.size)
			attached := time.Now()
			must(t, d.detach(i), "detach beside %d", d.size)
			b.results.samples.add(d.series("attach"), milliseconds(attached.Sub(began)))
			b.results.samples.add(d.series("detach"), milliseconds(time.Since(attached)))
		}
	}
	b.attachRows("attach", "", atMost(3), atMost(1.2))
	b.attachRows("attach", oneChain, atMost(3), atMost(1.2))
	b.attachRows("detach", "", nil, nil)
	b.attachRows("detach", oneChain, nil, nil)
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func (b *bench) attachRows(what, variant string, most, flat *target) {
	for _, size := range []int{b.Small, b.Middle, b.Large} {
		series := fmt.Sprintf("%s %d%s", what, size, variant)
		line := func(share string, t *target) row {
			return row{ID: fmt.Sprintf("%s-%d-%s%s", what, size, share, variant), Section: "attach", Unit: "ms", Target: t,
				What: fmt.Sprintf("%s beside %s%s, %s", what, endpoints(size), variant, share)}
		}
		b.results.state(line("p50", most), series, 0.5)
		b.results.state(line("p95", nil), series, 0.95)
		b.results.state(line("p99", nil), series, 0.99)
	}
	b.results.compare(row{ID: what + "-flat" + variant, Section: "attach", What: what + " beside " + endpoints(b.Large) + variant,
		Unit: "ms", Beside: "beside " + endpoints(b.Small), Target: flat},
		fmt.Sprintf("%s %d%s", what, b.Large, variant), fmt.Sprintf("%s %d%s", what, b.Small, variant))
}
