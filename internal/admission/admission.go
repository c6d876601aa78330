// Package admission judges whether a container keeps to a network's policy (P10): that it holds no more than the
// permitted capabilities, cannot gain any, and has no way out but its endpoint. It is pure; others collect the
// evidence.
package admission

import (
	"fmt"
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

// Record is what a user asked a Docker engine for (HostConfig of its API).
type Record struct {
	Privileged      bool
	CapAdd, CapDrop []string
	SecurityOpt     []string
	PID, IPC, UTS   string // modes; "host" is the host's namespace

}

// engineDefaults are what Docker gives a container that asks for nothing (moby, oci/caps/defaults.go).
var engineDefaults = capsOf("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
	"NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE")

// capsOf reads names as Docker does; one that it does not know stands for all.
func capsOf(names ...string) (all policy.Caps) {
	for _, name := range names {
		c, ok := policy.Cap(name)
		if !ok {
			c = policy.AllCaps
		}
		all |= c
	}
	return all
}

// Caps is what the engine gives the container (moby, oci/caps/utils.go, TweakCapabilities).
func (r Record) Caps() policy.Caps {
	isAll := func(name string) bool { return strings.EqualFold(name, "ALL") }
	switch {
	case r.Privileged:
		return policy.AllCaps
	case slices.ContainsFunc(r.CapDrop, isAll):
		return capsOf(r.CapAdd...)
	case slices.ContainsFunc(r.CapAdd, isAll):
		return policy.AllCaps.Minus(capsOf(r.CapDrop...))
	}
	return engineDefaults.Minus(knownOf(r.CapDrop)) | capsOf(r.CapAdd...)
}

// knownOf reads names of which one that is not known drops nothing.
func knownOf(names []string) (all policy.Caps) {
	for _, name := range names {
		c, _ := policy.Cap(name)
		all |= c
	}
	return all
}

// sealed reports whether the container's processes can gain no privileges. The last of several options counts, as in
// Docker.
func (r Record) sealed() (sealed bool) {
	for _, o := range r.SecurityOpt {
		name, value, valued := strings.Cut(strings.Replace(o, "=", ":", 1), ":")
		if name != "no-new-privileges" {
			continue
		}
		said, err := strconv.ParseBool(value)
		sealed = !valued || (err == nil && said)
	}
	return sealed
}

func (r Record) problems(allowed policy.Caps) (out []string) {
	if r.Privileged {
		return []string{"is privileged (drop --privileged)"}
	}
	if excess := r.Caps().Minus(allowed); excess != 0 {
		out = append(out, fmt.Sprintf("holds %s beyond mcpnet.caps=%s", excess, allowed))
	}
	if !r.sealed() {
		out = append(out, "may gain privileges")
	}
	if len(out) > 0 {
		out[len(out)-1] += remedyFor(allowed)
	}
	for flag, mode := range map[string]string{"--pid": r.PID, "--ipc": r.IPC, "--uts": r.UTS} {
		if mode == "host" || strings.HasPrefix(mode, "container:") {
			out = append(out, fmt.Sprintf("shares a namespace of the host or of another container (drop %s %.22s)", flag, mode))
		}
	}
	slices.Sort(out)
	return out
}

// remedyFor names the options by which a container conforms.
func remedyFor(allowed policy.Caps) string {
	add := ""
	for _, name := range allowed.Names() {
		add += " --cap-add " + strings.TrimPrefix(name, "CAP_")
	}
	return " (start it with --runtime mcpnet, or with --cap-drop ALL" + add + " --security-opt no-new-privileges)"
}

// Evidence is what is known of a container of Docker's.
type Evidence struct {
	Record   *Record      // nil: not read yet
	Attested *policy.Caps // what mcpnet-runtime started it with; nil: nothing said
	Networks []string     // its other networks
	Sharers  []string     // other containers in its network namespace
}

// Judge decides about a container on a network that permits these capabilities.
func (e Evidence) Judge(allowed policy.Caps) topology.Admission {
	var problems []string
	if len(e.Networks) > 0 {
		problems = append(problems, "is also on "+strings.Join(e.Networks, ", ")+" (docker network disconnect)")
	}
	if len(e.Sharers) > 0 {
		problems = append(problems, "its network namespace is also that of "+strings.Join(e.Sharers, ", "))
	}
	by := ByRuntime
	if e.Attested == nil || e.Attested.Minus(allowed) != 0 {
		by = ByRecord
		if e.Record != nil {
			problems = append(problems, e.Record.problems(allowed)...)
		}
	}
	switch {
	case len(problems) > 0:
		return topology.Admission{State: topology.Violates, By: ByRecord, Reason: strings.Join(problems, "; ")}
	case by == ByRecord && e.Record == nil:
		return topology.Admission{}
	}
	return topology.Admission{State: topology.Conforms, By: by}
}

// Process is a process in a container's network namespace.
type Process struct {
	PID    int
	Start  uint64 // in clock ticks since boot: tells processes of one number apart
	Name   string
	Caps   policy.Caps // all sets together
	Sealed bool        // no_new_privileges
}

// Problem says what is against a process; "" is nothing.
func (p Process) Problem(allowed policy.Caps) string {
	if excess := p.Caps.Minus(allowed); excess != 0 {
		return fmt.Sprintf("process %d (%s) holds %s", p.PID, p.Name, shown(excess))
	}
	if !p.Sealed {
		return fmt.Sprintf("process %d (%s) may gain privileges: no_new_privileges is not set", p.PID, p.Name)
	}
	return ""
}

// shown keeps a reason readable for a process that holds nearly everything.
func shown(c policy.Caps) string {
	const most = 6
	names := strings.Split(c.String(), ",")
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ","), len(names)-most)
	}
	return c.String()
}
