package link

import (
	"fmt"

	"github.com/containernetworking/plugins/pkg/netlinksafe"

	"github.com/mcpnet/mcpnet/internal/ns"
)

// Outlets is what leads out of a container's network namespace.
type Outlets struct {
	Endpoints []string // ids of the mcpnet endpoints whose wires end there
	Others    []string // other interfaces that are up
}

// OutletsOf looks into a container's namespace from the one where the wires' other ends are.
func OutletsOf(container, host ns.Handle) (o Outlets, err error) {
	inside, err := open(container)
	if err != nil {
		return o, err
	}
	defer inside.Close()
	outside, err := open(host)
	if err != nil {
		return o, err
	}
	defer outside.Close()
	links, err := inside.LinkList()
	if err != nil {
		return o, fmt.Errorf("list links: %w", err)
	}
	for _, found := range links {
		l := describe(found)
		if id, ok := endpointOf(l, outside); ok {
			o.Endpoints = append(o.Endpoints, id)
		} else if l.Up && l.Name != "lo" {
			o.Others = append(o.Others, l.Name)
		}
	}
	return o, nil
}

// endpointOf finds the endpoint whose wire ends in a container's interface, by the kernel's own links between the two.
func endpointOf(inside Link, outside netlinksafe.Handle) (id string, ok bool) {
	if inside.Type != "veth" {
		return "", false // without asking the kernel
	}
	found, err := outside.LinkByIndex(inside.Peer)
	if err != nil || !inside.EndsAt(describe(found)) {
		return "", false
	}
	_, id, ok = describe(found).Owned()
	return id, ok
}
