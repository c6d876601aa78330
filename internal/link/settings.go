package link

import (
	"encoding/binary"
	"errors"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// IPv4 settings of a link (IPV4_DEVCONF_*, linux/ip.h). They go over netlink because a managed plugin's /proc/sys is
// read-only.
const (
	forwarding      = 1
	proxyARP        = 3
	acceptRedirects = 4
	sendRedirects   = 6
	rpFilter        = 8
	sourceRoute     = 9
	arpIgnore       = 19
	arpAccept       = 21
	acceptLocal     = 23
	routeLocalnet   = 26
)

type setting struct {
	key   int
	value uint32
}

// quietSettings keep a link dead for the namespace's stack even when every rule is gone: it answers no ARP (arp_ignore
// 8), forwards nothing, and drops packets whose source it has no route to, which is every source.
var quietSettings = []setting{
	{rpFilter, 1}, {forwarding, 0}, {arpIgnore, 8}, {proxyARP, 0}, {acceptRedirects, 0}, {sendRedirects, 0},
	{sourceRoute, 0}, {arpAccept, 0}, {acceptLocal, 0}, {routeLocalnet, 0},
}

// routerSettings let packets pass whose source the subnet's route leads back to.
var routerSettings = []setting{
	{rpFilter, 1}, {forwarding, 1}, {arpIgnore, 8}, {proxyARP, 0}, {acceptRedirects, 0}, {sendRedirects, 0},
	{sourceRoute, 0}, {arpAccept, 0}, {acceptLocal, 0}, {routeLocalnet, 0},
}

// uplinkSettings let what comes back through. In the namespace no route leads to its source, since only what rules
// permit has a way out, so that the reverse path is not asked for.
var uplinkSettings = []setting{
	{rpFilter, 0}, {forwarding, 1}, {arpIgnore, 8}, {proxyARP, 0}, {acceptRedirects, 0}, {sendRedirects, 0},
	{sourceRoute, 0}, {arpAccept, 0}, {acceptLocal, 0}, {routeLocalnet, 0},
}

// kinds are the settings by their names. No link has two of them.
var kinds = map[topology.Settings][]setting{
	topology.SettingsQuiet: quietSettings, topology.SettingsRouter: routerSettings, topology.SettingsUplink: uplinkSettings,
}

// noIPv6Address is IN6_ADDR_GEN_MODE_NONE (linux/if_link.h): the link makes itself no link-local address.
const noIPv6Address = 1

// iflaInet6AddrGenMode is IFLA_INET6_ADDR_GEN_MODE, iflaInetConf is IFLA_INET_CONF (linux/if_link.h).
const (
	iflaInet6AddrGenMode = 8
	iflaInetConf         = 1
)

// configure applies an alias and settings in one RTM_SETLINK. A link without IPv6, on a kernel without it or because
// its MTU is too small (1280, RFC 8200), refuses settings of it, and needs none.
func (l *Links) configure(index int, alias string, settings []setting) error {
	err := l.setLink(index, alias, settings, true)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		err = l.setLink(index, alias, settings, false)
	}
	return err
}

// setLink sends IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF }, AF_INET6 { IFLA_INET6_ADDR_GEN_MODE } }.
func (l *Links) setLink(index int, alias string, settings []setting, ipv6 bool) error {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	inet := families.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil)
	for _, s := range settings {
		inet.AddRtAttr(s.key, binary.NativeEndian.AppendUint32(nil, s.value))
	}
	if ipv6 {
		families.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(iflaInet6AddrGenMode, []byte{noIPv6Address})
	}

	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	request.Sockets = l.sockets
	request.AddData(header)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	request.AddData(families)
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
