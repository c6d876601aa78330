// Package admission judges whether a container keeps to a network's policy (P10): that it holds no more than the
// permitted capabilities, cannot gain any, and has no way out but its endpoint. It is pure; others collect the
// evidence.
package admission

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// The evidence, as an admission names it.
const (
	ByRuntime   = "mcpnet-runtime"
	ByRecord    = "the engine's record"
	ByProcesses = "its processes"
)

// Kind tells what a problem lets a container do. mcpnet.caps.mode decides what follows.
type Kind int

// The kinds, the worst first.
const (
	WayOut Kind = iota // it reaches past its network
	Excess             // it may do more than the policy permits, within its container
)

// Problem is something that is against a container.
type Problem struct {
	Kind Kind
	Text string
}

func wayOut(text string) Problem { return Problem{WayOut, text} }
func excess(text string) Problem { return Problem{Excess, text} }

// Verdict is the admission of a container that has these problems, or conforms without any. Ways out are named first.
func Verdict(by string, problems []Problem) topology.Admission {
	if len(problems) == 0 {
		return topology.Admission{State: topology.Conforms, By: by}
	}
	problems = slices.Clone(problems)
	slices.SortStableFunc(problems, func(a, b Problem) int { return cmp.Compare(a.Kind, b.Kind) })
	var texts []string
	for _, p := range problems {
		if !slices.Contains(texts, p.Text) {
			texts = append(texts, p.Text)
		}
	}
	return topology.Admission{State: topology.Violates, By: by, Reason: strings.Join(texts, "; "),
		WayOut: problems[0].Kind == WayOut}
}

// escapes are capabilities by which a process of the host's user namespace gets past its network, whatever else its
// container takes from it: links in other namespaces (NET_ADMIN), other namespaces themselves (SYS_ADMIN), other
// processes (SYS_PTRACE), the kernel (SYS_MODULE, SYS_RAWIO, SYS_BOOT, BPF, PERFMON), the host's files by their handles
// (DAC_READ_SEARCH). Engines give none of them to a container that does not ask.
var escapes = capsOf("NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "SYS_RAWIO", "SYS_BOOT", "BPF", "PERFMON",
	"DAC_READ_SEARCH") | policy.AllCaps.Minus(policy.KnownCaps)

// escaping are the capabilities among some that are a way out. One that has no name yet counts.
func escaping(c policy.Caps) policy.Caps { return c & escapes }

// shown keeps a reason readable for a process that holds nearly everything.
func shown(c policy.Caps) string {
	const most = 6
	names := strings.Split(c.String(), ",")
	if len(names) > most {
		return strings.Join(names[:most], ",") + " and " + strconv.Itoa(len(names)-most) + " more"
	}
	return c.String()
}

// Evidence is what is known of a container of Docker's.
type Evidence struct {
	Record   *Record      // nil: not read yet
	Attested *policy.Caps // what mcpnet-runtime started it with; nil: nothing said
	Networks []string     // its other networks
	Sharers  []Sharer     // other containers in its namespaces
}

// Sharer is another container in a namespace of a server's.
type Sharer struct{ Namespace, Container string }

// Judge decides about a container on a network that permits these capabilities. What the runtime attests takes the
// place of what the record says of capabilities, and of nothing else in it.
func (e Evidence) Judge(allowed policy.Caps) topology.Admission {
	attested := e.Attested != nil && e.Attested.Minus(allowed) == 0
	problems := e.doors()
	if e.Record != nil {
		problems = append(problems, e.Record.doors()...)
		if !attested {
			problems = append(problems, e.Record.privileges(allowed)...)
		}
	}
	switch {
	case len(problems) > 0:
		return Verdict(ByRecord, problems)
	case attested:
		return Verdict(ByRuntime, nil)
	case e.Record == nil:
		return topology.Admission{}
	}
	return Verdict(ByRecord, nil)
}

// doors are the ways out that the engine's list shows.
func (e Evidence) doors() (out []Problem) {
	if len(e.Networks) > 0 {
		out = append(out, wayOut("is also on "+strings.Join(e.Networks, ", ")+" (docker network disconnect)"))
	}
	shared := map[string][]string{}
	for _, s := range e.Sharers {
		shared[s.Namespace] = append(shared[s.Namespace], s.Container)
	}
	for _, namespace := range slices.Sorted(maps.Keys(shared)) {
		out = append(out, wayOut("its "+namespace+" namespace is also that of "+strings.Join(shared[namespace], ", ")))
	}
	return out
}
