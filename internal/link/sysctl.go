package link

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
)

// sysctlRoots are where settings can be written that netlink does not know. A managed plugin's own /proc/sys is read
// only; its config.json mounts /proc/sys/net, which shows the settings of whatever namespace a thread is in.
var sysctlRoots = []string{"/proc/sys", "/host/proc/sys"}

// networkSettings are those of a network's namespace. IPv6 is off. Answers carry the mark of what they answer, by which
// the router's port knows them; they are not limited to one a second. What the host has set for all its links, a new
// namespace has too, and the kernel takes the larger of that and a link's own: here each link's own counts alone.
var networkSettings = []struct{ key, value string }{
	{"net/ipv6/conf/all/disable_ipv6", "1"},
	{"net/ipv6/conf/default/disable_ipv6", "1"},
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/all/proxy_arp", "0"},
	{"net/ipv4/conf/all/accept_redirects", "0"},
	{"net/ipv4/conf/all/send_redirects", "0"},
	{"net/ipv4/conf/all/accept_source_route", "0"},
	{"net/ipv4/conf/all/arp_accept", "0"},
	{"net/ipv4/conf/all/accept_local", "0"},
	{"net/ipv4/conf/all/route_localnet", "0"},
	{"net/ipv4/conf/default/rp_filter", "1"},
	{"net/ipv4/conf/default/forwarding", "0"},
	{"net/ipv4/fwmark_reflect", "1"},
	{"net/ipv4/icmp_ratelimit", "0"},
}

// Prepare gives a network's new namespace its settings, before any link is made in it.
func Prepare(h ns.Handle) error {
	return h.Do(func() error {
		for _, s := range networkSettings {
			if err := writeSetting(s.key, s.value); err != nil {
				return fmt.Errorf("network namespace: %s=%s: %w", strings.ReplaceAll(s.key, "/", "."), s.value, err)
			}
		}
		return nil
	})
}

// Prepared reports whether a network's namespace has its settings still. IPv6 may have been switched on for one of its
// links alone.
func (l *Links) Prepared(links ...Link) (holds bool, err error) {
	if slices.ContainsFunc(links, func(l Link) bool { return l.IPv6 }) {
		return false, nil
	}
	err = l.ns.Do(func() error {
		for _, s := range networkSettings {
			now, err := readSetting(s.key)
			if errors.Is(err, os.ErrNotExist) {
				continue // a kernel without IPv6
			}
			if err != nil {
				return fmt.Errorf("network namespace: %s: %w", strings.ReplaceAll(s.key, "/", "."), err)
			}
			if now != s.value {
				return nil
			}
		}
		holds = true
		return nil
	})
	return holds, err
}

// Prepare gives the namespace its settings again. To switch IPv6 off is to switch it off for all of its links.
func (l *Links) Prepare() error { return Prepare(l.ns) }

// writeSetting writes where it can. A kernel without IPv6 lacks its settings, and needs none.
func writeSetting(key, value string) error {
	var failed error
	for _, root := range sysctlRoots {
		err := os.WriteFile(filepath.Join(root, key), []byte(value), 0o644)
		if err == nil {
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// readSetting reads one. Every attachment reads a dozen, so that they are no files of package os, which would first ask
// of each whether it can be waited for.
func readSetting(key string) (string, error) {
	fd, err := unix.Open(filepath.Join(sysctlRoots[0], key), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var text [64]byte
	n, err := unix.Read(fd, text[:])
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text[:n])), nil
}

// ipForward is the host's setting that lets packets pass between its interfaces, below /proc/sys.
const ipForward = "net/ipv4/ip_forward"

// Forwards reports whether the namespace forwards IPv4 packets.
func (l *Links) Forwards() (forwards bool, err error) {
	err = l.ns.Do(func() error {
		now, err := readSetting(ipForward)
		forwards = now == "1"
		return err
	})
	return forwards, err
}

// EnableForwarding lets the host forward IPv4 packets, which a gateway's egress needs, as every container engine does.
func (l *Links) EnableForwarding() error {
	return l.ns.Do(func() error { return writeSetting(ipForward, "1") })
}
