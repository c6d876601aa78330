package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/procfs"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const (
	// hurry is how soon the watchman looks again when an endpoint has just begun to wait or a process was just found in excess.
	hurry = 100 * time.Millisecond
	// round is how often it looks without a reason: a process can be started in a container at any time.
	round = 10 * time.Second
	// outletsAge is how long it trusts what it found of a container's interfaces: to look costs a socket in the container.
	outletsAge = time.Minute
)

// watchman collects the evidence about containers of CNI and netavark, whose engines keep no record that a plugin could
// read: their processes, and what leads out of their network namespaces.
type watchman struct {
	engine *engine.Engine
	word   attest.Directory // of mcpnet-runtime
	log    *slog.Logger
	wake   bell
	memory
}

// memory is what one look leaves to the next.
type memory struct {
	// seen are processes that were found in excess, once: a runtime's own first process holds everything for milliseconds.
	seen map[suspect]bool
	// since is when an endpoint that is undecided was first looked at.
	since map[string]time.Time
	// outlets is what was found of containers' interfaces, by endpoint.
	outlets map[string]outlets
}

type outlets struct {
	at       time.Time
	problems []string
}

type suspect struct {
	pid   int
	start uint64
}

func newWatchman(log *slog.Logger, word attest.Directory) *watchman {
	return &watchman{log: log, word: word, wake: newBell(), memory: newMemory()}
}

func newMemory() memory {
	return memory{seen: map[suspect]bool{}, since: map[string]time.Time{}, outlets: map[string]outlets{}}
}

// run looks until the context ends.
func (w *watchman) run(ctx context.Context, e *engine.Engine) {
	w.engine = e
	go hear(ctx, w.word, w.log, func(string) { w.wake.ring() })
	pause := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		case <-time.After(pause):
		}
		var err error
		pause, err = w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.log.Warn("examine containers", "error", err)
		}
	}
}

// nextLook is how long the watchman waits for an endpoint that has been undecided for a time. Containers run soon after
// they are attached or not for long, and a look costs the documents of all endpoints.
func nextLook(undecided time.Duration) time.Duration { return min(max(hurry, undecided/4), round) }

// look judges every endpoint, and says when to do it again.
func (w *watchman) look(ctx context.Context) (pause time.Duration, err error) {
	pause = round
	examined, err := w.engine.Examined(ctx)
	if err != nil || len(examined) == 0 {
		return pause, err
	}
	wanted := map[uint64]bool{}
	for _, e := range examined {
		wanted[e.Endpoint.NetNS] = true
	}
	processes, err := procfs.Processes(wanted)
	if err != nil {
		return pause, err
	}
	next := newMemory()
	for _, e := range examined {
		v := w.judge(e, processes[e.Endpoint.NetNS], next)
		if v.doubtful || v.State == topology.AdmissionWaiting {
			first, known := w.since[e.Endpoint.ID]
			if !known {
				first = time.Now()
			}
			next.since[e.Endpoint.ID] = first
			pause = min(pause, nextLook(time.Since(first)))
		}
		if v.State == topology.AdmissionWaiting && v.doubtful {
			continue // what was found before stands until the next look
		}
		if v.Admission == e.Endpoint.Admission {
			continue // to record it again would hold the store alone, and read all of it
		}
		if err := w.engine.Admit(ctx, e.Network.ID, e.Endpoint.ID, v.Admission); err != nil {
			return pause, err
		}
	}
	w.memory = next
	return pause, nil
}

// verdict is doubtful while a process in excess has been seen only once.
type verdict struct {
	topology.Admission
	doubtful bool
}

// judge decides about one endpoint, and notes in next what the next look has to know.
func (w *watchman) judge(e engine.Examined, processes []admission.Process, next memory) (v verdict) {
	allowed := e.Network.Policy.Caps
	var problems []string
	for _, p := range processes {
		problem := p.Problem(allowed)
		if problem == "" {
			continue
		}
		s := suspect{p.PID, p.Start}
		next.seen[s] = true
		if w.seen[s] {
			problems = append(problems, problem)
		} else {
			v.doubtful = true
		}
	}
	if len(processes) > 0 {
		next.outlets[e.Endpoint.ID] = w.outletsOf(e, processes[0].PID)
		problems = append(problems, next.outlets[e.Endpoint.ID].problems...)
	}
	attested := w.attested(e.Endpoint.ID, allowed)
	switch {
	case len(problems) > 0:
		v.Admission = topology.Admission{State: topology.Violates, By: admission.ByProcesses, Reason: strings.Join(problems, "; ")}
	case attested:
		v.Admission = topology.Admission{State: topology.Conforms, By: admission.ByRuntime}
	case len(processes) > 0 && !v.doubtful:
		v.Admission = topology.Admission{State: topology.Conforms, By: admission.ByProcesses}
	}
	return v
}

// outletsOf finds ways out beside the endpoint.
func (w *watchman) outletsOf(e engine.Examined, pid int) outlets {
	if known, ok := w.outlets[e.Endpoint.ID]; ok && time.Since(known.at) < outletsAge {
		return known
	}
	o, err := w.engine.Outlets(procfs.NetNS(pid))
	if err != nil {
		return outlets{} // the process has ended; the next look sees another
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

func (w *watchman) attested(endpoint string, allowed policy.Caps) bool {
	a, ok, err := w.word.Attested(endpoint)
	if err != nil {
		w.log.Warn("attestation", "error", err)
	}
	return ok && a.Caps.Minus(allowed) == 0
}
