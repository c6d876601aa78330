package link

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// dumpAttempts is how often a list is read that a change interrupts again and again. What an interrupted one lacks may
// be there all the same: it is never taken for whole.
const dumpAttempts = 20

// whole reads a list until no change interrupts it (NLM_F_DUMP_INTR).
func whole[T any](read func() ([]T, error)) (list []T, err error) {
	for range dumpAttempts {
		if list, err = read(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return nil, err
}

// links asks the kernel for one link, or without a name for all of them.
func (l *Links) links(name string) ([]Link, error) {
	flags := unix.NLM_F_DUMP
	if name != "" {
		flags = unix.NLM_F_ACK
	}
	messages, err := whole(func() ([][]byte, error) {
		request := nl.NewNetlinkRequest(unix.RTM_GETLINK, flags)
		request.Sockets = l.sockets
		request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
		if name != "" {
			request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
		}
		return request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	})
	if err != nil {
		return nil, err
	}
	out := make([]Link, len(messages))
	for i, m := range messages {
		if out[i], err = decode(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// decode reads a link with what the library leaves out: its settings, and whether it is an isolated port.
func decode(message []byte) (Link, error) {
	found, err := netlink.LinkDeserialize(nil, message)
	if err != nil {
		return Link{}, err
	}
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofIfInfomsg:])
	if err != nil {
		return Link{}, err
	}
	d := describe(found)
	for _, a := range attributes {
		switch a.Attr.Type & nl.NLA_TYPE_MASK {
		case unix.IFLA_AF_SPEC:
			err = errors.Join(err, d.decodeFamilies(a.Value))
		case unix.IFLA_LINKINFO:
			err = errors.Join(err, d.decodeInfo(a.Value))
		}
	}
	return d, err
}

// inet6DisableIPv6 is the place of DEVCONF_DISABLE_IPV6 (linux/ipv6.h) among a link's IPv6 settings.
const (
	iflaInet6Conf    = 2
	inet6DisableIPv6 = 26
)

func (l *Link) decodeFamilies(data []byte) error {
	families, err := nl.ParseRouteAttr(data)
	if err != nil {
		return err
	}
	for _, f := range families {
		inner, err := nl.ParseRouteAttr(f.Value)
		if err != nil {
			return err
		}
		for _, a := range inner {
			switch {
			case f.Attr.Type == unix.AF_INET && a.Attr.Type == iflaInetConf:
				l.Settings = settingsOf(numbers(a.Value))
			case f.Attr.Type == unix.AF_INET6 && a.Attr.Type == iflaInet6Conf:
				conf := numbers(a.Value)
				l.IPv6 = len(conf) > inet6DisableIPv6 && conf[inet6DisableIPv6] == 0
			}
		}
	}
	return nil
}

func (l *Link) decodeInfo(data []byte) error {
	info, err := nl.ParseRouteAttr(data)
	if err != nil {
		return err
	}
	for _, i := range info {
		if i.Attr.Type&nl.NLA_TYPE_MASK != nl.IFLA_INFO_SLAVE_DATA {
			continue
		}
		port, err := nl.ParseRouteAttr(i.Value)
		if err != nil {
			return err
		}
		for _, a := range port {
			if a.Attr.Type == nl.IFLA_BRPORT_ISOLATED {
				l.Isolated = len(a.Value) > 0 && a.Value[0] == 1
			}
		}
	}
	return nil
}

func numbers(data []byte) []uint32 {
	out := make([]uint32, len(data)/4)
	for i := range out {
		out[i] = binary.NativeEndian.Uint32(data[4*i:])
	}
	return out
}

// settingsOf tells which settings these are. The kernel shows each at the place of its key, and keys begin with 1. An
// uplink may have route_localnet: CNI's portmap sets it on the host's link to a container, and what comes over an
// uplink reaches nothing of the host either way.
func settingsOf(conf []uint32) topology.Settings {
	for name, settings := range kinds {
		differs := func(s setting) bool {
			if name == topology.SettingsUplink && s.key == routeLocalnet {
				return false
			}
			return s.key > len(conf) || conf[s.key-1] != s.value
		}
		if !slices.ContainsFunc(settings, differs) {
			return name
		}
	}
	return topology.SettingsOther
}
