package link

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// Outlets is what leads out of a container's network namespace.
type Outlets struct {
	Endpoints []string // ids of the mcpnet endpoints whose wires end there
	Others    []string // other interfaces that are up
}

// OutletsOf looks into a container's namespace.
func OutletsOf(container ns.Handle) (o Outlets, err error) {
	inside, err := Open(container)
	if err != nil {
		return o, err
	}
	defer inside.Close()
	links, err := inside.links("")
	if err != nil {
		return o, fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if mark, ok := inside.farMark(l); ok {
			o.Endpoints = append(o.Endpoints, mark.ID)
		} else if l.Up && l.Name != "lo" {
			o.Others = append(o.Others, l.Name)
		}
	}
	return o, nil
}

// farMark is the mark of a veth's other end.
func (l *Links) farMark(near Link) (m topology.Mark, ok bool) {
	if near.Type != "veth" || near.PeerNS < 0 {
		return m, false // without asking the kernel
	}
	far, err := l.far(near)
	if err != nil || !near.EndsAt(far) {
		return m, false
	}
	return far.Mark()
}

// far asks the kernel for a veth's other end, in whatever namespace it is: RTM_GETLINK with IFLA_TARGET_NETNSID, the
// id that this namespace has for that one.
func (l *Links) far(near Link) (Link, error) {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(near.Peer)
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_ACK)
	request.Sockets = l.sockets
	request.AddData(header)
	request.AddData(nl.NewRtAttr(unix.IFLA_TARGET_NETNSID, nl.Uint32Attr(uint32(near.PeerNS))))
	messages, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if err != nil {
		return Link{}, fmt.Errorf("other end of %s: %w", near.Name, err)
	}
	if len(messages) != 1 {
		return Link{}, fmt.Errorf("other end of %s: %w", near.Name, ErrNotFound)
	}
	found, err := netlink.LinkDeserialize(nil, messages[0])
	if err != nil {
		return Link{}, fmt.Errorf("other end of %s: %w", near.Name, err)
	}
	return describe(found), nil
}

// EndsAt reports whether the other end of a veth is that link of another namespace.
func (l Link) EndsAt(other Link) bool {
	return l.Type == "veth" && other.Type == "veth" && l.Peer == other.Index && other.Peer == l.Index
}
