package admission

import (
	"fmt"
	"strings"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// Process is a process in a container's network namespace.
type Process struct {
	PID    int
	Thread int    // one of its threads that lives: the first one may have ended
	Start  uint64 // in clock ticks since boot: tells processes of one number apart
	Name   string
	Caps   policy.Caps // all sets together
	Sealed bool        // no_new_privileges
	// Nested says that it is in a user namespace other than the host's: what it holds there reaches nothing outside.
	Nested bool
	// Inside says that its parent is in the container, so that it is nobody's who puts it there from the host.
	Inside bool
	// Hosts are the kinds of namespaces that it has in common with the host's first process.
	Hosts []string
	// Elsewhere are the kinds of namespaces by which it was found although it is in another network namespace: it has
	// them in common with processes of the container. Nothing else of it is judged.
	Elsewhere []string
}

// Problems says what is against a process on a network that permits these capabilities.
func (p Process) Problems(allowed policy.Caps) (out []Problem) {
	who := fmt.Sprintf("process %d (%s)", p.PID, p.Name)
	if len(p.Elsewhere) > 0 {
		return []Problem{wayOut(fmt.Sprintf("%s, which is on another network, is in its %s namespace", who, strings.Join(p.Elsewhere, " and ")))}
	}
	if len(p.Hosts) > 0 {
		out = append(out, wayOut(fmt.Sprintf("%s shares the host's %s namespace", who, strings.Join(p.Hosts, " and "))))
	}
	more := p.Caps.Minus(allowed)
	escapes := escaping(more)
	if p.Nested {
		escapes = 0
	}
	if escapes != 0 {
		out = append(out, wayOut(fmt.Sprintf("%s holds %s, a way out of every network", who, shown(escapes))))
	}
	if harmless := more.Minus(escapes); harmless != 0 {
		out = append(out, excess(fmt.Sprintf("%s holds %s", who, shown(harmless))))
	}
	if !p.Sealed {
		out = append(out, excess(who+" may gain privileges: no_new_privileges is not set"))
	}
	return out
}

// Mounts says what is against a container in which these paths of the host are mounted.
func Mounts(mounts []Mount) (out []Problem) {
	for _, m := range mounts {
		if why, bad := m.WayOut(); bad {
			out = append(out, wayOut(fmt.Sprintf("has %q of the host mounted: %s", m.Source, why)))
		}
	}
	return out
}

// Outlets says what is against a container whose network namespace holds other interfaces, and ends of so many mcpnet
// endpoints' wires.
func Outlets(others []string, endpoints int) (out []Problem) {
	if len(others) > 0 {
		out = append(out, wayOut("has another way out: "+strings.Join(others, ", ")))
	}
	if endpoints > 1 {
		out = append(out, wayOut(fmt.Sprintf("is on %d mcpnet networks", endpoints)))
	}
	return out
}
