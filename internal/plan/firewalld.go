package plan

import (
	"maps"
	"slices"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// DiffFirewalld gives the steps for firewalld, which rejects what it forwards for an interface that is in no zone. An
// uplink that somebody has put into another zone stays there: it is theirs to say what passes.
func DiffFirewalld(n topology.Network, o Observed) (steps []Step) {
	f := o.Host.Firewalld
	if f == nil || !n.HasUplink() || f.IsForeign(n.Uplink()) {
		return nil
	}
	if !f.Prepared {
		steps = append(steps, Step{Host, PrepareFirewalld{}})
	}
	if f.Zones[n.Uplink()] == "" {
		steps = append(steps, Step{Host, JoinZone{n.Uplink()}})
	}
	return steps
}

// IsForeign reports whether somebody has put an uplink into another zone than mcpnet's.
func (f Firewalld) IsForeign(uplink string) bool {
	zone := f.Zones[uplink]
	return zone != "" && zone != topology.FirewallZone
}

// Strays gives the steps that take interfaces out of the zone of uplinks which are gone.
func Strays(h HostState) (steps []Step) {
	if h.Firewalld == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(h.Firewalld.Zones)) {
		if _, exists := h.Links[name]; !exists && h.Firewalld.Zones[name] == topology.FirewallZone {
			steps = append(steps, Step{Host, LeaveZone{name}})
		}
	}
	return steps
}
