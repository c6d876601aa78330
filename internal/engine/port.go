package engine

import (
	"errors"
	"fmt"

	"github.com/mcpnet/mcpnet/internal/link"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/store"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Port is the interface that another plugin made: its ends, and the bridge that it put the host end on.
type Port struct {
	Host   string // the host end
	Bridge string // "" where the host end is a port of nothing
	MAC    topology.HardwareAddr
	MTU    int
}

// ErrNoPort says that an interface is not one end of a veth whose other end is in the engine's namespace.
var ErrNoPort = errors.New("is not one end of a veth pair with the host")

// PortOf finds the host end of a container's interface, by the kernel's own links between the two.
func (e *Engine) PortOf(sandbox, name string) (p Port, err error) {
	err = inSandbox(sandbox, func(h ns.Handle) error {
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
		host, err := e.links.At(peer.Peer)
		if err != nil || !peer.EndsAt(host) {
			return fmt.Errorf("interface %s of the container %w", name, ErrNoPort)
		}
		p = Port{Host: host.Name, MAC: peer.MAC, MTU: peer.MTU}
		if host.Master != 0 {
			bridge, err := e.links.At(host.Master)
			p.Bridge = bridge.Name
			return err
		}
		return nil
	})
	return p, err
}

// Attached reports whether an attachment is there, with its wire.
func (e *Engine) Attached(networkID, id string) (bool, error) {
	p, ok, err := e.stored(networkID, id)
	if err != nil || !ok {
		return false, err
	}
	_, err = e.links.Find(p.Wire())
	if errors.Is(err, link.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// IsBusy reports whether an error only says that others took too long; the same call may go through later.
func IsBusy(err error) bool { return errors.Is(err, store.ErrBusy) }

// IsTaken reports whether an error says that the container has this attachment, or an interface of its name, already.
func IsTaken(err error) bool {
	return errors.Is(err, ErrAttached) || errors.Is(err, link.ErrPeerExists)
}
