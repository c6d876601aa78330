package link

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// Bridge describes the bridge that holds a network's gateway ports. It has no address: what it floods leads nowhere.
type Bridge struct {
	Name string
	MTU  int
	Mark topology.Mark
}

// ErrForeign says that a link of a name is not what mcpnet made, and so is neither used nor removed.
var ErrForeign = errors.New("is not a link that mcpnet made for this network")

// EnsureBridge makes the bridge, or mends one that is there.
func (l *Links) EnsureBridge(b Bridge) error {
	snooping := false
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = b.Name, b.MTU
	err := l.handle.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("bridge %s: %w", b.Name, err)
	}
	return l.finish(b.Name, "bridge", b.Mark, quietSettings)
}

// finish gives a link its mark and its settings, and brings it up.
func (l *Links) finish(name, kind string, mark topology.Mark, settings []setting) error {
	found, err := l.handle.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if found.Type() != kind {
		return fmt.Errorf("%s (%s): %w", name, found.Type(), ErrForeign)
	}
	if err := l.configure(found.Attrs().Index, mark.String(), settings); err != nil {
		return fmt.Errorf("%s: settings: %w", name, err)
	}
	if err := l.handle.LinkSetUp(found); err != nil {
		return fmt.Errorf("%s: up: %w", name, err)
	}
	return nil
}

// Enslave makes a wire a port of a bridge.
func (l *Links) Enslave(wire, bridge string) error {
	port, err := l.handle.LinkByName(wire)
	if err != nil {
		return fmt.Errorf("port %s: %w", wire, err)
	}
	master, err := l.handle.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("port %s: bridge %s: %w", wire, bridge, err)
	}
	if err := l.handle.LinkSetMaster(port, master); err != nil {
		return fmt.Errorf("port %s: bridge %s: %w", wire, bridge, err)
	}
	// Without rules the bridge would join gateways. Isolated ports do not speak with each other.
	if err := l.handle.LinkSetIsolated(port, true); err != nil {
		return fmt.Errorf("port %s: isolate: %w", wire, err)
	}
	return nil
}
