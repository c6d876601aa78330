package link

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// Watch calls changed when a link of ours other than a wire went away or down, when an IPv4 address came or went, or a
// route of an uplink went. A wire goes with its container, whose engine says so. It returns when the context ends or
// the kernel's stream breaks.
func (l *Links) Watch(ctx context.Context, changed func()) error {
	done := make(chan struct{})
	defer close(done)
	in := socketsOf(l.ns)
	broken := func(error) {} // the library closes the channel then
	links := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{
		Namespace: &in, ErrorCallback: broken}); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	addrs := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{
		Namespace: &in, ErrorCallback: broken}); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	routes := make(chan netlink.RouteUpdate, 64)
	if err := netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{
		Namespace: &in, ErrorCallback: broken}); err != nil {
		return fmt.Errorf("watch routes: %w", err)
	}
	for {
		var tell, ok bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case update, open := <-links:
			ok, tell = open, open && lost(update)
		case update, open := <-addrs:
			ok, tell = open, update.LinkAddress.IP.To4() != nil
		case update, open := <-routes:
			ok, tell = open, lostRoute(update)
		}
		if !ok {
			return errBroken
		}
		if tell {
			changed()
		}
	}
}

var errBroken = errors.New("watch links, addresses and routes: the kernel's stream broke")

// lostRoute tells the end of a route over an uplink.
func lostRoute(u netlink.RouteUpdate) bool {
	return u.Type == unix.RTM_DELROUTE && u.Gw.Equal(NextHop.AsSlice())
}

func lost(u netlink.LinkUpdate) bool {
	attrs := u.Link.Attrs()
	if _, ours := topology.ParseMark(attrs.Alias); !ours || strings.HasPrefix(attrs.Name, topology.WirePrefix) {
		return false
	}
	return u.Header.Type == unix.RTM_DELLINK || u.IfInfomsg.Flags&unix.IFF_UP == 0
}
