package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// place is where a container stands: its mcpnet networks, and what is against it being there.
type place struct {
	members  []member
	problems []string
}

// member is a container's endpoint on one mcpnet network, or the one that it is going to have.
type member struct {
	network  topology.Network
	endpoint string // its id; "" where only the engine's record tells of it
	trusted  bool   // a gateway
}

// servers are the endpoints that the policy of a network has something to say about.
func (p place) servers() (out []member) {
	for _, m := range p.members {
		if !m.trusted && m.network.Policy.CapsMode != policy.CapsOff {
			out = append(out, m)
		}
	}
	return out
}

// concerned tells whether to act. Who asked for mcpnet-runtime by its name gets it; as a default runtime it acts on servers.
func (p place) concerned(selective bool) bool { return !selective || len(p.servers()) > 0 }

// allowed is what all networks of the container permit.
func (p place) allowed() policy.Caps {
	if len(p.members) == 0 {
		return policy.DefaultCaps
	}
	allowed := policy.AllCaps
	for _, m := range p.members {
		allowed &= m.network.Policy.Caps
	}
	return allowed
}

func (p place) enforced() bool {
	for _, m := range p.servers() {
		if m.network.Policy.CapsMode == policy.CapsEnforce {
			return true
		}
	}
	return false
}

// excess tells what a bundle's process holds beyond what the networks permit.
func (p place) excess(d *oci.Document) (problems []string, err error) {
	for _, m := range p.servers() {
		more, err := d.Excess(m.network.Policy.Caps)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
	}
	return problems, nil
}

// where names the networks in a message.
func (p place) where() string {
	var names []string
	for _, m := range p.members {
		names = append(names, m.network.DisplayName())
	}
	if len(names) == 0 {
		return ""
	}
	return " (mcpnet network " + strings.Join(names, ", ") + ")"
}

// placeOf finds the place of a container that is to be made: in Docker's record, or in the network namespace that it joins.
func placeOf(d *oci.Document, id string) (place, error) {
	record, ok, err := findRecord(d, id)
	if err != nil {
		return place{}, err
	}
	if ok {
		return record.place()
	}
	path, err := d.NetNS()
	if err != nil || path == "" {
		return place{}, err // it gets a namespace of its own, which start looks into
	}
	return placeIn(path, stores(""))
}

// placeIn finds the mcpnet networks that lead into a network namespace. What leads out beside them is a problem.
func placeIn(path string, stores []*store.View) (p place, err error) {
	if oci.IsHosts(path, "net") {
		return p, nil // the host's, into which no wire leads: a container's end may be there for a moment
	}
	h, err := ns.Open(path)
	if err != nil {
		return p, err
	}
	defer h.Close()
	outlets, err := link.OutletsOf(h, ns.Handle{})
	if err != nil {
		return p, err
	}
	for _, id := range outlets.Endpoints {
		m, err := findEndpoint(stores, id)
		if err != nil {
			return p, err
		}
		p.members = append(p.members, m)
	}
	if len(p.members) > 0 && len(outlets.Others) > 0 {
		p.problems = append(p.problems, "has another way out: "+strings.Join(outlets.Others, ", "))
	}
	if len(p.members) > 1 {
		p.problems = append(p.problems, fmt.Sprintf("is on %d mcpnet networks", len(p.members)))
	}
	return p, nil
}

// stores are the directories in which mcpnet keeps documents: one for each surface, and those of Docker's managed plugins
// below the engine's directory.
func stores(dockerRoot string) []*store.View {
	root := surface.Root(os.Getenv(surface.RootVariable))
	var dirs []string
	for _, s := range surface.All() {
		dirs = append(dirs, s.Store(root))
	}
	if dockerRoot != "" {
		plugins, _ := filepath.Glob(filepath.Join(dockerRoot, "plugins", "*", "propagated-mount"))
		dirs = append(dirs, plugins...)
	}
	var out []*store.View
	for _, dir := range dirs {
		out = append(out, store.OpenView(dir))
	}
	return out
}

// storesFor are the stores that may know of a container that exists.
func storesFor(d *oci.Document, id string) []*store.View {
	record, ok, err := findRecord(d, id)
	if err != nil || !ok {
		return stores(defaultDockerRoot)
	}
	return stores(record.root)
}

func findEndpoint(stores []*store.View, id string) (member, error) {
	var dirs []string
	var failed []error
	for _, s := range stores {
		networks, err := s.Networks()
		failed = append(failed, err)
		for _, n := range networks {
			p, err := s.Endpoint(n.ID, id)
			if err == nil {
				return member{n.Network, id, p.Role != topology.RoleServer}, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
		}
		dirs = append(dirs, s.Dir())
	}
	if err := errors.Join(failed...); err != nil {
		return member{}, unreadable(err)
	}
	return member{}, fmt.Errorf("the container's interface belongs to mcpnet endpoint %.12s, of which there is no document in %s: start mcpnet's plugin, which makes it anew",
		id, strings.Join(dirs, ", "))
}

func unreadable(err error) error {
	return fmt.Errorf("%w; without it nobody can tell what this container may hold: mend the file or remove it, and restart mcpnet's plugin", err)
}
