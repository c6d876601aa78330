// Package nft puts rule sets into the kernel's nftables. What a network has in common is loaded into its namespace as
// text, in one transaction of the nft command. What stands on the host, beside rules of others, and what comes and goes
// with an endpoint is one netlink transaction that touches its own objects only, so an attach costs the same at any
// number of endpoints.
package nft

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
)

// socketBuffer holds the acknowledgements of the largest batch, in bytes.
const socketBuffer = 4 << 20

// Firewall is the nftables of one network namespace.
type Firewall struct {
	ns   ns.Handle
	mu   sync.Mutex // nftables.Conn collects messages until Flush
	conn *nftables.Conn
	dump *netlink.Conn // for requests that the library does not know; nil until the first
}

// Open connects to the nftables of a namespace.
func Open(h ns.Handle) (*Firewall, error) {
	options := []nftables.ConnOption{nftables.AsLasting(), nftables.WithSockOptions(enlarge)}
	if fd, ok := h.Socket(); ok {
		options = append(options, nftables.WithNetNSFd(fd))
	}
	conn, err := nftables.New(options...)
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	return &Firewall{ns: h, conn: conn}, nil
}

// enlarge asks for room beyond the system's limit, which CAP_NET_ADMIN allows.
func enlarge(c *netlink.Conn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer))
	})
	return errors.Join(err, failed)
}

// Close ends the connection; the rules stay.
func (f *Firewall) Close() error { return errors.Join(f.conn.CloseLasting(), f.closeDump()) }

// Load puts a network's rule set into the kernel, or replaces its chains, in one transaction. A chain for devices of a prefix
// follows in a second one: the nft command of older versions takes the prefix for a name.
func (f *Firewall) Load(ctx context.Context, r firewall.Ruleset) error {
	if len(r.Chains) == 0 {
		return nil
	}
	if err := f.run(ctx, r.LoadText()); err != nil {
		return err
	}
	for _, c := range r.Chains {
		if c.IsPrefix() {
			if err := f.loadPrefix(c); err != nil {
				return fmt.Errorf("chain %s: %w", c.Name, err)
			}
		}
	}
	return nil
}

func (f *Firewall) run(ctx context.Context, text string) error {
	_, err := f.ns.Run(ctx, text, "nft", "-f", "-")
	return f.named(ctx, err)
}

// Features finds out what the kernel offers, and what is missing of the minimum.
func (f *Firewall) Features(ctx context.Context) (firewall.Features, error) {
	if err := f.minimum(ctx); err != nil {
		return firewall.Features{}, err
	}
	listed, err := f.listsPrefix(ctx)
	if err != nil || !listed {
		return firewall.Features{}, err
	}
	prefix, err := f.TakesPrefix()
	return firewall.Features{DevicePrefix: prefix}, err
}
