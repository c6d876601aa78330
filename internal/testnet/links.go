package testnet

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// Links lists the links of the namespace. A list that a change interrupted is read again.
func (ns *NS) Links() (links []netlink.Link, err error) {
	const most = 100
	for range most {
		if links, err = ns.Handle().LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return links, err
		}
	}
	return links, err
}
