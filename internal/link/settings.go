package link

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"

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

// wireSettings keep a wire dead for the host's stack even when every rule is gone: it answers no ARP (arp_ignore 8),
// forwards nothing, and drops packets whose source it has no route to, which is every source.
var wireSettings = []setting{
	{rpFilter, 1}, {forwarding, 0}, {arpIgnore, 8}, {proxyARP, 0}, {acceptRedirects, 0}, {sendRedirects, 0},
	{sourceRoute, 0}, {arpAccept, 0}, {acceptLocal, 0}, {routeLocalnet, 0},
}

// bridgeSettings let a gateway's egress through the host and no trick with it.
var bridgeSettings = []setting{
	{rpFilter, 1}, {forwarding, 1}, {arpIgnore, 1}, {proxyARP, 0}, {acceptRedirects, 0}, {sendRedirects, 0},
	{sourceRoute, 0}, {arpAccept, 0}, {acceptLocal, 0}, {routeLocalnet, 0},
}

// noIPv6Address is IN6_ADDR_GEN_MODE_NONE (linux/if_link.h): the link makes itself no link-local address.
const noIPv6Address = 1

// iflaInet6AddrGenMode is IFLA_INET6_ADDR_GEN_MODE, iflaInetConf is IFLA_INET_CONF (linux/if_link.h).
const (
	iflaInet6AddrGenMode = 8
	iflaInetConf         = 1
)

// configure applies an alias and settings in one RTM_SETLINK:
// IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF }, AF_INET6 { IFLA_INET6_ADDR_GEN_MODE } }.
func (l *Links) configure(index int, alias string, settings []setting) error {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	inet := families.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil)
	for _, s := range settings {
		inet.AddRtAttr(s.key, binary.NativeEndian.AppendUint32(nil, s.value))
	}
	families.AddRtAttr(unix.AF_INET6, nil).AddRtAttr(iflaInet6AddrGenMode, []byte{noIPv6Address})

	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	request.Sockets = l.sockets
	request.AddData(header)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	request.AddData(families)
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// sysctlRoots are where settings can be written that netlink does not know. A managed plugin's own /proc/sys is read
// only; its config.json mounts the host's.
var sysctlRoots = []string{"/proc/sys", "/host/proc/sys"}

// disableIPv6 takes IPv6 off a link. Nothing else keeps the host's stack from routing what a server sends to its wire's
// hardware address while nftables' rules are gone: IPv6 knows no reverse path filter.
func (l *Links) disableIPv6(link string) error {
	return l.writeIPv6(link, func(path string) error {
		return os.WriteFile(path, []byte("1"), 0o644)
	})
}

// DisablesIPv6 tells whether this process can take IPv6 off links.
func (l *Links) DisablesIPv6() error {
	return l.writeIPv6("default", func(path string) error {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return file.Close()
	})
}

// writeIPv6 writes to a link's setting. A kernel without IPv6 has none.
func (l *Links) writeIPv6(link string, write func(path string) error) error {
	return l.ns.Do(func() error {
		var failed error
		for _, root := range sysctlRoots {
			err := write(filepath.Join(root, "net/ipv6/conf", link, "disable_ipv6"))
			if err == nil {
				return nil
			}
			if !errors.Is(err, os.ErrNotExist) {
				failed = errors.Join(failed, err)
			}
		}
		return failed
	})
}

// ipForward is the host's setting that lets packets pass between its interfaces, below /proc/sys.
const ipForward = "net/ipv4/ip_forward"

// EnableForwarding lets the host forward IPv4 packets, which a gateway's egress needs, as every container engine does.
// The kernel then sets every link to forward; wires are set back.
func (l *Links) EnableForwarding() error {
	changed := false
	err := l.ns.Do(func() error {
		path := filepath.Join(sysctlRoots[0], ipForward)
		now, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(now)) == "1" {
			return err
		}
		changed = true
		return os.WriteFile(path, []byte("1"), 0o644)
	})
	if err != nil || !changed {
		return err
	}
	listed, err := l.List()
	for _, found := range listed {
		if strings.HasPrefix(found.Name, topology.WirePrefix) && found.Alias != "" {
			err = errors.Join(err, l.configure(found.Index, found.Alias, wireSettings))
		}
	}
	return err
}
