package evidence

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/procfs"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// minInterval parts two looks while an endpoint has just begun to wait, or a process has just been found in excess.
	minInterval = 100 * time.Millisecond
	// maxInterval parts two looks without a reason. A process can start in a container at any time.
	maxInterval = 10 * time.Second
	// outletsAge is how long the interfaces found in a container count. To look again costs a socket in the container.
	outletsAge = time.Minute
)

// ProcessCollector collects evidence about containers of CNI and netavark: their processes, and what leads out of their
// network namespaces. Their engines keep no record that a plugin could read.
type ProcessCollector struct {
	networks     Observed
	attestations attest.Directory
	log          *slog.Logger
	findings
}

// findings are what one look passes to the next.
type findings struct {
	// excess are the processes that one look has found in excess. The first process of a runtime holds all capabilities
	// for milliseconds, so one look proves nothing.
	excess map[process]bool
	// since is when the first look found an endpoint undecided.
	since map[string]time.Time
	// outlets are the interfaces found in the containers of endpoints.
	outlets map[string]outlets
}

type outlets struct {
	at       time.Time
	problems []string
}

// process tells a process from a later one with the same id.
type process struct {
	pid   int
	start uint64
}

// NewProcessCollector makes the collector for a surface without a record.
func NewProcessCollector(log *slog.Logger, attestations attest.Directory) *ProcessCollector {
	return &ProcessCollector{log: log, attestations: attestations, findings: newFindings()}
}

func newFindings() findings {
	return findings{excess: map[process]bool{}, since: map[string]time.Time{}, outlets: map[string]outlets{}}
}

// Run judges endpoints until the context ends.
func (c *ProcessCollector) Run(ctx context.Context, networks Observed) {
	c.networks = networks
	attested := make(chan struct{}, 1)
	go watchAttestations(ctx, c.attestations, c.log, func(string) {
		select {
		case attested <- struct{}{}:
		default: // the next look is due already
		}
	})
	interval := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-attested:
		case <-time.After(interval):
		}
		var err error
		interval, err = c.look(ctx)
		if err != nil && ctx.Err() == nil {
			c.log.Warn("examine containers", "error", err)
		}
	}
}

// nextLook is the interval after which to look again at an endpoint that has been undecided for a time. Containers run
// soon after they are attached or not for long, and a look reads the documents of all endpoints.
func nextLook(undecided time.Duration) time.Duration {
	return min(max(minInterval, undecided/4), maxInterval)
}

// look judges every endpoint, and returns the interval after which to look again.
func (c *ProcessCollector) look(ctx context.Context) (interval time.Duration, err error) {
	interval = maxInterval
	examined, err := c.networks.Examined(ctx)
	if err != nil || len(examined) == 0 {
		return interval, err
	}
	wanted := map[uint64]bool{}
	for _, e := range examined {
		wanted[e.Endpoint.NetNS] = true
	}
	processes, err := procfs.Processes(wanted)
	if err != nil {
		return interval, err
	}
	next := newFindings()
	for _, e := range examined {
		v := c.judge(e, processes[e.Endpoint.NetNS], next)
		if v.doubtful || v.State != topology.Conforms { // what holds too much may be the runtime's own process, about to end
			interval = min(interval, nextLook(c.undecided(e.Endpoint.ID, next)))
		}
		if v.State == topology.AdmissionWaiting && v.doubtful {
			continue // the last judgement stands until the next look
		}
		if v.Admission == e.Endpoint.Admission {
			continue // to record it again would lock the store, and read all of it
		}
		if err := c.networks.Admit(ctx, e.Network.ID, e.Endpoint.ID, v.Admission); err != nil {
			return interval, err
		}
	}
	c.findings = next
	return interval, nil
}

// undecided is how long an endpoint has been undecided.
func (c *ProcessCollector) undecided(endpoint string, next findings) time.Duration {
	first, known := c.since[endpoint]
	if !known {
		first = time.Now()
	}
	next.since[endpoint] = first
	return time.Since(first)
}

// verdict is doubtful while only one look has found a process in excess.
type verdict struct {
	topology.Admission
	doubtful bool
}

// judge decides about one endpoint, and notes in next what the next look needs.
func (c *ProcessCollector) judge(e core.Examined, processes []admission.Process, next findings) (v verdict) {
	allowed := e.Network.Policy.Caps
	problems, doubtful := c.judgeProcesses(processes, allowed, next)
	v.doubtful = doubtful
	if len(processes) > 0 {
		next.outlets[e.Endpoint.ID] = c.outletsOf(e, processes[0].PID)
		problems = append(problems, next.outlets[e.Endpoint.ID].problems...)
	}
	attested := c.attested(e.Endpoint.ID, allowed)
	switch {
	case len(problems) > 0:
		v.Admission = topology.Admission{State: topology.Violates, By: admission.ByProcesses,
			Reason: strings.Join(problems, "; ")}
	case attested:
		v.Admission = topology.Admission{State: topology.Conforms, By: admission.ByRuntime}
	case len(processes) > 0 && !v.doubtful:
		v.Admission = topology.Admission{State: topology.Conforms, By: admission.ByProcesses}
	}
	return v
}

// judgeProcesses names the problems of processes that two looks have found in excess. One look leaves a doubt.
func (c *ProcessCollector) judgeProcesses(processes []admission.Process, allowed policy.Caps,
	next findings) (problems []string, doubtful bool) {
	for _, p := range processes {
		problem := p.Problem(allowed)
		if problem == "" {
			continue
		}
		id := process{p.PID, p.Start}
		next.excess[id] = true
		if c.excess[id] {
			problems = append(problems, problem)
		} else {
			doubtful = true
		}
	}
	return problems, doubtful
}

// outletsOf finds ways out beside the endpoint.
func (c *ProcessCollector) outletsOf(e core.Examined, pid int) outlets {
	if known, ok := c.outlets[e.Endpoint.ID]; ok && time.Since(known.at) < outletsAge {
		return known
	}
	o, err := c.networks.Outlets(procfs.NetNS(pid))
	if err != nil {
		return outlets{} // the process has ended; the next look finds another
	}
	found := outlets{at: time.Now()}
	if len(o.Others) > 0 {
		found.problems = append(found.problems, "has another way out: "+strings.Join(o.Others, ", "))
	}
	if len(o.Endpoints) > 1 {
		found.problems = append(found.problems, "is on several mcpnet networks")
	}
	return found
}

func (c *ProcessCollector) attested(endpoint string, allowed policy.Caps) bool {
	a, ok, err := c.attestations.Attested(endpoint)
	if err != nil {
		c.log.Warn("attestation", "error", err)
	}
	return ok && a.Caps.Minus(allowed) == 0
}
