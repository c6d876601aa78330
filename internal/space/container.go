package space

import (
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Port is an interface of a container that another plugin made: its ends, and the bridge that the host end is on.
type Port struct {
	Host   string // the host end
	Bridge string // "" where the host end is a port of nothing
	MAC    topology.HardwareAddr
	MTU    int
}

// ErrNoPort says that an interface is not one end of a veth whose other end is on the host.
var ErrNoPort = errors.New("is not one end of a veth pair with the host")

// PortOf finds the host end of a container's interface, by the kernel's own links between the two. It is called on
// the host's namespace.
func (s *Space) PortOf(sandbox, name string) (p Port, err error) {
	err = In(sandbox, func(h ns.Handle) error {
		inside, err := link.Open(h)
		if err != nil {
			return err
		}
		defer inside.Close()
		peer, err := inside.Find(name)
		if errors.Is(err, link.ErrNotFound) {
			return fmt.Errorf("interface %s is missing in the container: it %w", name, ErrNoPort)
		}
		if err != nil {
			return fmt.Errorf("interface %s of the container: %w", name, err)
		}
		p, err = s.portOf(peer)
		return err
	})
	return p, err
}

func (s *Space) portOf(peer link.Link) (Port, error) {
	host, err := s.Links.At(peer.Peer)
	if err != nil || !peer.EndsAt(host) {
		return Port{}, fmt.Errorf("interface %s of the container %w", peer.Name, ErrNoPort)
	}
	p := Port{Host: host.Name, MAC: peer.MAC, MTU: peer.MTU}
	if host.Master == 0 {
		return p, nil
	}
	bridge, err := s.Links.At(host.Master)
	p.Bridge = bridge.Name
	return p, err
}

// Outlets is what leads out of a container's network namespace.
type Outlets = link.Outlets

// ErrPeerExists says that a container has an interface of the name already.
var ErrPeerExists = link.ErrPeerExists

// OutletsOf looks into a container's namespace.
func OutletsOf(sandbox string) (o Outlets, err error) {
	err = In(sandbox, func(h ns.Handle) (err error) {
		o, err = link.OutletsOf(h)
		return err
	})
	return o, err
}
