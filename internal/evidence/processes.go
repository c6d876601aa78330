package evidence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/core"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/procfs"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// minInterval parts two looks while an endpoint has just begun to wait, or a process has just been found in excess.
	minInterval = 100 * time.Millisecond
	// maxInterval parts two looks without a reason. A process can start in a container at any time.
	maxInterval = 10 * time.Second
	// youth is how long a process may be a runtime's.
	youth = time.Second
	// tick is the unit in which the kernel tells a process's start (USER_HZ).
	tick = time.Second / 100
	// doubtTime is how long looks in a row may leave a doubt. A runtime's processes come and go; something that is always
	// there is none.
	doubtTime = 10 * time.Second
	// outletsAge is how long the interfaces found in a container count while their names stay. To look again costs a
	// socket in the container.
	outletsAge = time.Minute
)

// ProcessCollector collects evidence about containers of CNI and netavark: their processes, and what leads out of their
// network namespaces. Their engines keep no record that a plugin could read.
type ProcessCollector struct {
	networks     Observed
	attestations attest.Directory
	log          *slog.Logger
	// mountsOf and interfaces ask of a thread.
	mountsOf   func(thread int) ([]admission.Mount, bool, error)
	interfaces func(thread int) ([]string, error)
	// told is what evidence was said to be lacking.
	told *[]report.Finding
	findings
}

// findings are what one look passes to the next.
type findings struct {
	// excess are the processes that one look has found in excess. The first process of a runtime holds all capabilities
	// for milliseconds, so one look proves nothing.
	excess map[process]bool
	// clean are the processes that see none of the host's files that matter.
	clean map[process]bool
	// since is when the first look found an endpoint undecided.
	since map[string]time.Time
	// doubted is since when every look has left a doubt about an endpoint.
	doubted map[string]time.Time
	// outlets are the interfaces found in the containers of endpoints.
	outlets map[string]outlets
	// unseen tells what of containers cannot be seen.
	unseen error
}

type outlets struct {
	at       time.Time
	names    []string // of all interfaces then
	problems []admission.Problem
}

// process tells a process from a later one with the same id.
type process struct {
	pid   int
	start uint64
}

// NewProcessCollector makes the collector for a surface without a record.
func NewProcessCollector(log *slog.Logger, attestations attest.Directory) *ProcessCollector {
	return &ProcessCollector{log: log, attestations: attestations, mountsOf: procfs.MountsOf, interfaces: procfs.Interfaces, findings: newFindings()}
}

func newFindings() findings {
	return findings{excess: map[process]bool{}, clean: map[process]bool{}, since: map[string]time.Time{},
		doubted: map[string]time.Time{}, outlets: map[string]outlets{}}
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
	processes, unseen := procfs.Processes(wanted)
	next := newFindings()
	for _, e := range examined {
		v := c.judge(e, processes[e.Endpoint.NetNS], &next)
		if v.doubtful || v.State != topology.Conforms { // what holds too much may be the runtime's own process, about to end
			interval = min(interval, nextLook(c.undecided(e.Endpoint.ID, next)))
		}
		if v.State == topology.AdmissionWaiting && (v.doubtful || unseen != nil || e.Endpoint.Admission.WayOut) {
			continue // the last judgement stands until there is evidence again
		}
		if v.Admission == e.Endpoint.Admission {
			continue // to record it again would lock the store, and read all of it
		}
		if err := c.networks.Admit(ctx, e.Network.ID, e.Endpoint.ID, v.Admission); err != nil {
			return interval, err
		}
	}
	c.findings = next
	return interval, c.tell(ctx, unseen)
}

// tell records and logs, once, that evidence is lacking, or that it is not any more.
func (c *ProcessCollector) tell(ctx context.Context, unseen error) error {
	var lacking []report.Finding
	if err := errors.Join(unseen, c.unseen); err != nil {
		lacking = append(lacking, lackingFinding("host", fmt.Sprintf("not all of servers' containers can be seen, so ways out may be overlooked: %v", err),
			"run mcpnet's service as its unit does (mcpnet install --service)"))
	}
	if c.told != nil && slices.Equal(lacking, *c.told) {
		return nil
	}
	if err := c.networks.Lacking(ctx, lacking); err != nil {
		return err
	}
	c.told = &lacking
	logLacking(c.log, lacking)
	return nil
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
func (c *ProcessCollector) judge(e core.Examined, processes []admission.Process, next *findings) (v verdict) {
	allowed := e.Network.Policy.Caps
	problems, suspected := c.judgeProcesses(processes, allowed, next)
	if v.doubtful = len(suspected) > 0; v.doubtful && c.doubtedFor(e.Endpoint.ID, next) > doubtTime {
		problems = append(problems, suspected...)
	}
	if len(processes) > 0 {
		found, err := c.outletsOf(e, processes[0].Thread)
		next.unseen = errors.Join(next.unseen, err)
		next.outlets[e.Endpoint.ID] = found
		problems = append(problems, found.problems...)
	}
	attested := c.attested(e.Endpoint.ID, allowed)
	switch {
	case len(problems) > 0:
		v.Admission = admission.Verdict(admission.ByProcesses, problems)
	case attested:
		v.Admission = admission.Verdict(admission.ByRuntime, nil)
	case len(processes) > 0 && !v.doubtful:
		v.Admission = admission.Verdict(admission.ByProcesses, nil)
	}
	return v
}

// judgeProcesses names the problems of processes that two looks have found in excess. One look, or a process that has
// just begun, leaves a doubt: until a runtime's process enters its container, it holds everything and sees the host's
// files, too. What a container's own process has begun is no runtime's: there is no doubt.
func (c *ProcessCollector) judgeProcesses(processes []admission.Process, allowed policy.Caps,
	next *findings) (problems, suspected []admission.Problem) {
	nested := allNested(processes)
	for _, p := range processes {
		found := p.Problems(allowed)
		if nested || !p.Nested {
			found = append(found, c.mounted(p, next)...)
		}
		if len(found) == 0 {
			continue
		}
		id := process{p.PID, p.Start}
		next.excess[id] = true
		if p.Inside || c.excess[id] && !young(p) {
			problems = append(problems, found...)
		} else {
			suspected = append(suspected, found...)
		}
	}
	return problems, suspected
}

// doubtedFor is for how long every look has left a doubt about an endpoint.
func (c *ProcessCollector) doubtedFor(endpoint string, next *findings) time.Duration {
	first, known := c.doubted[endpoint]
	if !known {
		first = time.Now()
	}
	next.doubted[endpoint] = first
	return time.Since(first)
}

// allNested reports whether the whole container is in a user namespace of its own: a process that is there alone sees no
// more of the host than its container does, and may mount what it sees.
func allNested(processes []admission.Process) bool {
	return !slices.ContainsFunc(processes, func(p admission.Process) bool { return !p.Nested && len(p.Elsewhere) == 0 })
}

// young reports whether a process may still be a runtime's, which makes a container of it. On a busy machine that takes
// longer than two looks.
func young(p admission.Process) bool {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return false
	}
	return time.Duration(now.Nano())-time.Duration(p.Start)*tick < youth
}

// outletsOf finds ways out beside the endpoint.
func (c *ProcessCollector) outletsOf(e core.Examined, thread int) (outlets, error) {
	names, err := c.interfaces(thread)
	if err != nil {
		return outlets{}, fmt.Errorf("interfaces of container %s: %w", e.Endpoint.Container, err)
	}
	if known, ok := c.outlets[e.Endpoint.ID]; ok && slices.Equal(known.names, names) && time.Since(known.at) < outletsAge {
		return known, nil
	}
	o, err := c.networks.Outlets(procfs.NetNS(thread))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return outlets{}, nil // the process has ended; the next look finds another
	}
	if err != nil {
		return outlets{}, fmt.Errorf("interfaces of container %s: %w", e.Endpoint.Container, err)
	}
	return outlets{time.Now(), names, admission.Outlets(o.Others, len(o.Endpoints))}, nil
}

// mounted finds the host's files among the mounts of a process. One that sees none is not asked again: it may not mount
// any, or is in excess.
func (c *ProcessCollector) mounted(p admission.Process, next *findings) (problems []admission.Problem) {
	id := process{p.PID, p.Start}
	if len(p.Elsewhere) > 0 || c.clean[id] {
		next.clean[id] = true
		return nil
	}
	mounts, ok, err := c.mountsOf(p.Thread)
	if err != nil {
		next.unseen = errors.Join(next.unseen, fmt.Errorf("mounts of process %d (%s): %w", p.PID, p.Name, err))
	}
	if !ok || err != nil {
		return nil
	}
	problems = admission.Mounts(mounts)
	next.clean[id] = len(problems) == 0
	return problems
}

func (c *ProcessCollector) attested(endpoint string, allowed policy.Caps) bool {
	a, ok, err := c.attestations.Attested(endpoint)
	if err != nil {
		c.log.Warn("attestation", "error", err)
	}
	return ok && a.Caps.Minus(allowed) == 0
}
