package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/surface"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// attachment is how a container is attached to mcpnet networks, and what is wrong with that.
type attachment struct {
	endpoints []endpoint
	problems  []string
}

// endpoint is a container's endpoint on one mcpnet network. A container that is to be made will get it.
type endpoint struct {
	network topology.Network
	id      string // "" where only the engine's record shows the endpoint
	trusted bool   // it is a gateway
}

// servers are the endpoints whose containers the policy limits.
func (a attachment) servers() (out []endpoint) {
	for _, e := range a.endpoints {
		if !e.trusted && e.network.Policy.CapsMode != policy.CapsOff {
			out = append(out, e)
		}
	}
	return out
}

// concerned reports whether the runtime acts. As a default runtime it acts on servers only; who names mcpnet-runtime
// gets it in any case.
func (a attachment) concerned(selective bool) bool { return !selective || len(a.servers()) > 0 }

// allowed are the capabilities that all networks of the container permit.
func (a attachment) allowed() policy.Caps {
	if len(a.endpoints) == 0 {
		return policy.DefaultCaps
	}
	allowed := policy.AllCaps
	for _, e := range a.endpoints {
		allowed &= e.network.Policy.Caps
	}
	return allowed
}

// enforced reports whether a network refuses servers that hold too much.
func (a attachment) enforced() bool {
	return slices.ContainsFunc(a.servers(), func(e endpoint) bool { return e.network.Policy.CapsMode == policy.CapsEnforce })
}

// guarded reports whether a network refuses servers with another way out. Only audit lets them be.
func (a attachment) guarded() bool {
	return slices.ContainsFunc(a.servers(), func(e endpoint) bool { return e.network.Policy.CapsMode != policy.CapsAudit })
}

// excess names what a bundle's process holds beyond what the networks permit.
func (a attachment) excess(d *oci.Document) (problems []string, err error) {
	for _, e := range a.servers() {
		more, err := d.Excess(e.network.Policy.Caps)
		if err != nil {
			return nil, err
		}
		problems = append(problems, more...)
	}
	return problems, nil
}

// networks names the networks in a message.
func (a attachment) networks() string {
	var names []string
	for _, e := range a.endpoints {
		names = append(names, e.network.DisplayName())
	}
	if len(names) == 0 {
		return ""
	}
	return " (mcpnet network " + strings.Join(names, ", ") + ")"
}

// attachmentOf finds the attachment of a container that is to be made: in Docker's record, or in the network namespace
// that it joins.
func attachmentOf(d *oci.Document, id string) (attachment, error) {
	record, ok, err := findRecord(d, id)
	if err != nil {
		return attachment{}, err
	}
	if ok {
		return record.attachment()
	}
	path, err := d.NetNS()
	if err != nil || path == "" {
		return attachment{}, err // it gets a namespace of its own, which start looks into
	}
	return attachmentIn(path, stores(""))
}

// attachmentIn finds the mcpnet networks of a network namespace. Any other way out of the namespace is a problem.
func attachmentIn(path string, stores []*store.View) (a attachment, err error) {
	if oci.IsHosts(path, "net") {
		return a, nil // the container end of a veth pair may be in the host's namespace for a moment
	}
	h, err := ns.Open(path)
	if err != nil {
		return a, err
	}
	defer h.Close()
	outlets, err := link.OutletsOf(h)
	if err != nil {
		return a, err
	}
	for _, id := range outlets.Endpoints {
		e, err := findEndpoint(stores, id)
		if err != nil {
			return a, err
		}
		a.endpoints = append(a.endpoints, e)
	}
	if len(a.endpoints) > 0 && len(outlets.Others) > 0 {
		a.problems = append(a.problems, "has another way out: "+strings.Join(outlets.Others, ", "))
	}
	if len(a.endpoints) > 1 {
		a.problems = append(a.problems, fmt.Sprintf("is on %d mcpnet networks", len(a.endpoints)))
	}
	return a, nil
}

// stores are the stores in which mcpnet keeps documents: one for each surface, and those of Docker's managed plugins
// below the engine's directory.
func stores(dockerRoot string) (out []*store.View) {
	root := surface.Root(os.Getenv(surface.RootVariable))
	for _, s := range surface.All() {
		out = append(out, store.OpenView(s.Store(root)))
	}
	if dockerRoot == "" {
		return out
	}
	plugins, _ := filepath.Glob(filepath.Join(dockerRoot, "plugins", "*", "propagated-mount"))
	for _, dir := range plugins {
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

func findEndpoint(stores []*store.View, id string) (endpoint, error) {
	var dirs []string
	var failed []error
	for _, s := range stores {
		networks, err := s.Networks()
		failed = append(failed, err)
		for _, n := range networks {
			p, err := s.Endpoint(n.ID, id)
			if err == nil {
				return endpoint{n.Network, id, p.Role != topology.RoleServer}, nil
			}
			if !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
		}
		dirs = append(dirs, s.Dir())
	}
	if err := errors.Join(failed...); err != nil {
		return endpoint{}, unreadable(err)
	}
	return endpoint{}, fmt.Errorf("the container's interface belongs to mcpnet endpoint %.12s, of which there is no "+
		"document in %s: start mcpnet's plugin, which makes it anew", id, strings.Join(dirs, ", "))
}

func unreadable(err error) error {
	return fmt.Errorf("%w; without it nobody can tell what this container may hold: mend the file or remove it, "+
		"and restart mcpnet's plugin", err)
}
