// Package roster knows which names each server may reach. The process that parses and the resident one each have a
// roster: the second does not believe the first. It is pure.
package roster

import (
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// Roster is the names of a network's list, and of its servers. It is for many goroutines.
type Roster struct {
	mu         sync.RWMutex
	list       policy.Allow
	network    index
	servers    map[netip.Addr]*index // nil: the network's list
	lists      map[netip.Addr]policy.Allow
	generation uint64
}

// New is the roster of a network's list, without servers.
func New(network policy.Allow) *Roster {
	return &Roster{list: network, network: newIndex(network), servers: map[netip.Addr]*index{},
		lists: map[netip.Addr]policy.Allow{}, generation: 1}
}

// Grant is what lets a server reach a name.
type Grant struct {
	Zone       string // of the wildcard that holds the name; empty where the name itself is listed
	Ports      []uint16
	Generation uint64 // changes with every change of the roster's lists
}

// Set gives a server a list of its own; nil is the network's.
func (r *Roster) Set(server netip.Addr, own *policy.Allow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation++
	r.servers[server], r.lists[server] = nil, r.list
	if own != nil {
		i := newIndex(*own)
		r.servers[server], r.lists[server] = &i, *own
	}
}

// Drop forgets a server: it reaches no name any more.
func (r *Roster) Drop(server netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation++
	delete(r.servers, server)
	delete(r.lists, server)
}

// Listed reports whether the network's list holds a name, and with it every server's that does.
func (r *Roster) Listed(name string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.network.find(name).Ports) > 0
}

// Leads reports whether a server's names may lead to an address on a port of TCP: to one of the internet, unless the
// network's list writes it out for some server, and to what the server's own list opens.
func (r *Roster) Leads(server, to netip.Addr, port uint16) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	at := policy.Port{Protocol: policy.TCP, Number: port}
	own := r.lists[server]
	return own.Opens(to, at) || policy.IsPublic(to) && !r.list.Writes(to, at)
}

// Find tells what lets a server reach a name, in lower case without a last dot.
func (r *Roster) Find(server netip.Addr, name string) (Grant, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	own, known := r.servers[server]
	if !known {
		return Grant{}, false
	}
	if own == nil {
		own = &r.network
	}
	g := own.find(name)
	g.Generation = r.generation
	return g, len(g.Ports) > 0
}

// index finds the targets of a name without a walk over the list.
type index struct {
	hosts map[string][]uint16 // ports by name
	zones map[string][]uint16 // ports by the zone of a wildcard
}

func newIndex(list policy.Allow) index {
	i := index{map[string][]uint16{}, map[string][]uint16{}}
	for _, t := range list.Names() {
		if zone, ok := t.Name.Zone(); ok {
			i.zones[zone] = append(i.zones[zone], t.Port.Number)
		} else {
			i.hosts[string(t.Name)] = append(i.hosts[string(t.Name)], t.Port.Number)
		}
	}
	return i
}

// find gathers the ports of the name itself and of all wildcards that hold it.
func (i *index) find(name string) (g Grant) {
	g.Ports = slices.Clone(i.hosts[name])
	listed := len(g.Ports) > 0
	for rest := name; ; {
		_, zone, found := strings.Cut(rest, ".")
		if !found {
			return g
		}
		if ports := i.zones[zone]; len(ports) > 0 {
			g.Ports = append(g.Ports, ports...)
			if !listed && g.Zone == "" {
				g.Zone = zone
			}
		}
		rest = zone
	}
}

// Opens reports whether a port is among the grant's.
func (g Grant) Opens(port uint16) bool { return slices.Contains(g.Ports, port) }
