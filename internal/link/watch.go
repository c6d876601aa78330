package link

import (
	"context"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Watch calls changed when a bridge of ours went away or down, or when any link lost an IPv4 address. It returns when
// the context ends or the kernel's stream breaks.
func (l *Links) Watch(ctx context.Context, changed func()) error {
	done := make(chan struct{})
	defer close(done)
	in := netns.None()
	if fd, ok := l.ns.FD(); ok {
		in = netns.NsHandle(fd)
	}
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
			if bridgeLost(update) {
				changed()
			}
		case update, ok := <-addrs:
			if !ok {
				return fmt.Errorf("watch addresses: the kernel's stream broke")
			}
			if !update.NewAddr && update.LinkAddress.IP.To4() != nil {
				changed()
			}
		}
	}
}

func bridgeLost(u netlink.LinkUpdate) bool {
	if u.Link.Type() != "bridge" || !strings.HasPrefix(u.Link.Attrs().Alias, aliasPrefix+" ") {
		return false
	}
	return u.Header.Type == unix.RTM_DELLINK || u.IfInfomsg.Flags&unix.IFF_UP == 0
}
