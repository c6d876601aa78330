package main

import (
	"context"
	"fmt"
	"time"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// stopwatch times the steps of an engine, which tells when each begins and when it ends.
type stopwatch struct {
	began map[string]time.Time
	took  map[string]time.Duration
}

func newStopwatch() *stopwatch {
	return &stopwatch{map[string]time.Time{}, map[string]time.Duration{}}
}

func (s *stopwatch) note(step plan.Step) {
	name := stepName(step)
	if began, ok := s.began[name]; ok {
		s.took[name] += time.Since(began)
		delete(s.began, name)
		return
	}
	s.began[name] = time.Now()
}

// total is what the steps took since the last call.
func (s *stopwatch) total() (sum time.Duration, each map[string]time.Duration) {
	for _, d := range s.took {
		sum += d
	}
	each, s.took = s.took, map[string]time.Duration{}
	return sum, each
}

func stepName(s plan.Step) string {
	switch s.Action.(type) {
	case plan.AddWire:
		return "make the veth pair and its settings"
	case plan.AddGuard:
		return "one nftables transaction"
	case plan.SetUp:
		return "bring the wire up"
	case plan.DropGuard:
		return "one nftables transaction: elements gone"
	case plan.DeleteLink:
		return "look whether the link is gone"
	}
	return fmt.Sprintf("%T", s.Action)
}

// attachSteps and detachSteps are the steps in their order.
var (
	attachSteps = []plan.Step{{Action: plan.AddWire{}}, {Action: plan.AddGuard{}}, {Action: plan.SetUp{}}}
	detachSteps = []plan.Step{{Action: plan.DeleteLink{}}, {Action: plan.DropGuard{}}}
)

// steps attaches and detaches in this process, beside few and many endpoints in turns.
func steps(ctx context.Context, b *bench, t *testnet.Program) {
	sizes := []int{b.Small, b.Large}
	watches, hosts := map[int]*stopwatch{}, map[int]*engineHost{}
	for _, size := range sizes {
		progress("  an engine with %s", endpoints(size))
		watches[size] = newStopwatch()
		hosts[size] = newEngineHost(ctx, t, watches[size].note)
		park := parking(t, hosts[size].world.Host)
		for i := range size {
			link, err := hosts[size].attachServer(ctx, i)
			must(t, err, "server %d", i)
			park(link)
		}
		watches[size].total()
	}
	for cycle := range b.Cycles {
		for _, size := range sizes {
			b.timed("attach", size, watches[size], func() error {
				_, err := hosts[size].attachServer(ctx, size+cycle)
				must(t, err, "attach")
				return err
			})
			b.timed("detach", size, watches[size], func() error {
				err := hosts[size].detach(ctx, size+cycle)
				must(t, err, "detach")
				return err
			})
		}
	}
	for _, size := range sizes {
		b.stepRows("attach", size, attachSteps)
		b.stepRows("detach", size, detachSteps)
	}
}

const rest = "the rest"

func (b *bench) timed(what string, size int, watch *stopwatch, do func() error) {
	began := time.Now()
	if do() != nil {
		return
	}
	took := time.Since(began)
	sum, each := watch.total()
	add := func(name string, d time.Duration) {
		b.results.samples.add(fmt.Sprintf("engine %s %d %s", what, size, name), milliseconds(d))
	}
	add("whole", took)
	add(rest, took-sum)
	for name, d := range each {
		add(name, d)
	}
}

func (b *bench) stepRows(what string, size int, order []plan.Step) {
	line := func(name, shown string) {
		b.results.state(row{ID: fmt.Sprintf("step-%s-%d-%s", what, size, name), Section: "steps", What: shown, Unit: "ms"},
			fmt.Sprintf("engine %s %d %s", what, size, name), 0.5)
	}
	line("whole", fmt.Sprintf("**%s beside %s**", what, endpoints(size)))
	for _, s := range order {
		line(stepName(s), stepName(s))
	}
	line(rest, rest)
}
