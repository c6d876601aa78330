package link

import (
	"context"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// Watch calls changed when a link of ours other than a wire went away or down, or when an IPv4 address came or went.
// A wire goes with its container, whose engine says so. It returns when the context ends or the kernel's stream
// breaks.
func (l *Links) Watch(ctx context.Context, changed func()) error {
	done := make(chan struct{})
	defer close(done)
	in := socketsOf(l.ns)
	broken := func(error) {} // the library closes the channel then
	links := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{Namespace: &in, ErrorCallback: broken}); err != nil {
		return fmt.Errorf("watch links: %w", err)
	}
	addrs := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{Namespace: &in, ErrorCallback: broken}); err != nil {
		return fmt.Errorf("watch addresses: %w", err)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case update, ok := <-links:
			if !ok {
				return fmt.Errorf("watch links: the kernel's stream broke")
			}
			if lost(update) {
				changed()
			}
		case update, ok := <-addrs:
			if !ok {
				return fmt.Errorf("watch addresses: the kernel's stream broke")
			}
			if update.LinkAddress.IP.To4() != nil {
				changed()
			}
		}
	}
}

func lost(u netlink.LinkUpdate) bool {
	attrs := u.Link.Attrs()
	if _, ours := topology.ParseMark(attrs.Alias); !ours || strings.HasPrefix(attrs.Name, topology.WirePrefix) {
		return false
	}
	return u.Header.Type == unix.RTM_DELLINK || u.IfInfomsg.Flags&unix.IFF_UP == 0
}
