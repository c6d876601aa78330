package ipam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator"
	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/disk"

	"github.com/mcpnet/mcpnet/internal/strictjson"
)

// defaultDataDir is host-local's own.
const defaultDataDir = "/var/lib/cni/networks"

// hostLocal is host-local over its own files.
type hostLocal struct {
	conf     *allocator.IPAMConfig
	reserved []netip.Addr
}

// BadConfig is what is wrong with a configuration, or with what one attachment asks for, by key.
type BadConfig struct{ Key, Value, Reason, Accepted string }

func (b BadConfig) Error() string {
	return fmt.Sprintf("%s=%q: %s; accepted: %s", b.Key, b.Value, b.Reason, b.Accepted)
}

func openHostLocal(conf []byte, reserved []netip.Addr) (Plugin, error) {
	err := strictjson.Check(conf, allocator.Net{})
	var c *allocator.IPAMConfig
	if err == nil {
		c, _, err = allocator.LoadIPAMConfig(conf, "")
	}
	if err != nil {
		return nil, BadConfig{Key: "ipam", Reason: err.Error(), Accepted: `an IPv4 range, such as "ranges": [[{"subnet": "172.20.0.0/16"}]]`}
	}
	if c.ResolvConf != "" {
		return nil, BadConfig{"ipam.resolvConf", c.ResolvConf, "who answers names is set with policy.dns", "no resolvConf"}
	}
	for i, set := range c.Ranges {
		if i > 0 || set[0].Subnet.IP.To4() == nil {
			return nil, BadConfig{"ipam.ranges", set.String(), "an endpoint has one address, and IPv6 is denied entirely", "one set of IPv4 ranges"}
		}
		for _, r := range set {
			if subnetOf(r) != subnetOf(set[0]) {
				return nil, BadConfig{"ipam.ranges", subnetOf(r).String(), "the ranges of a network are of one subnet", "ranges of " + subnetOf(set[0]).String()}
			}
		}
	}
	return hostLocal{c, reserved}, nil
}

func subnetOf(r allocator.Range) netip.Prefix {
	ip, _ := netip.AddrFromSlice(r.Subnet.IP.To4())
	ones, _ := r.Subnet.Mask.Size()
	return netip.PrefixFrom(ip, ones)
}

func (h hostLocal) Subnet() (netip.Prefix, netip.Addr, bool) {
	return subnetOf(h.conf.Ranges[0][0]), h.bridge(), true
}

func (h hostLocal) bridge() netip.Addr {
	a, _ := netip.AddrFromSlice(h.conf.Ranges[0][0].Gateway.To4())
	return a
}

// Add tries the addresses that are asked for in their order. Ranges without the reserved addresses, or with them for
// who asks, are the library's own ranges, only others.
func (h hostLocal) Add(_ context.Context, a Attachment, asked []netip.Addr) (Lease, error) {
	files, err := h.open()
	if err != nil {
		return Lease{}, err
	}
	defer files.Close()
	if len(asked) == 0 {
		ranges, err := exclude(h.conf.Ranges[0], h.reserved)
		if err != nil {
			return Lease{}, err
		}
		return h.get(files, ranges, a, nil)
	}
	ranges := include(h.conf.Ranges[0], h.reserved)
	var failed []error
	for _, want := range asked {
		if !ranges.Contains(net.IP(want.AsSlice())) || want == h.bridge() {
			return Lease{}, BadConfig{"ips", want.String(), "not an address to give away", "one of " + ranges.String() + ", and not the bridge's (" + h.bridge().String() + ")"}
		}
		lease, err := h.get(files, ranges, a, net.IP(want.AsSlice()))
		if err == nil {
			return lease, nil
		}
		failed = append(failed, err)
	}
	return Lease{}, errors.Join(failed...)
}

func (h hostLocal) get(files unread, ranges allocator.RangeSet, a Attachment, want net.IP) (Lease, error) {
	got, err := allocator.NewIPAllocator(&ranges, files, 0).Get(a.ContainerID, a.IfName, want)
	if err != nil {
		if strings.HasPrefix(err.Error(), "no IP addresses available") {
			err = fmt.Errorf("%w in %s", ErrExhausted, ranges.String())
		}
		return Lease{}, fmt.Errorf("ipam %s: %w", HostLocal, err)
	}
	return leaseOf(got), nil
}

// unread is host-local's store without its search for earlier addresses of an attachment, which reads every file
// there is: mcpnet's own documents know that.
type unread struct{ *disk.Store }

func (unread) GetByID(string, string) []net.IP { return nil }

func (h hostLocal) open() (unread, error) {
	files, err := disk.New(h.conf.Name, h.conf.DataDir)
	if err != nil {
		return unread{}, fmt.Errorf("ipam %s: %w", HostLocal, err)
	}
	return unread{files}, nil
}

func (h hostLocal) dir() string {
	return filepath.Join(cmp.Or(h.conf.DataDir, defaultDataDir), h.conf.Name)
}

// Del removes the one file of a known address, and looks through all of them for the attachment otherwise.
func (h hostLocal) Del(_ context.Context, a Attachment, known netip.Addr) error {
	return h.alone(func(files unread) error {
		if known.IsValid() {
			path := disk.GetEscapedPath(h.dir(), known.String())
			if data, err := os.ReadFile(path); err == nil && string(data) == content(a) {
				return os.Remove(path)
			}
		}
		return errors.Join(files.ReleaseByID(a.ContainerID, a.IfName), h.releaseUnwritten())
	})
}

// releaseUnwritten removes files that a killed process made and did not come to fill: they hold an address, and no
// DEL would ever find them. Nobody fills one while the lock is held here.
func (h hostLocal) releaseUnwritten() error {
	return h.each(func(path string, data []byte) error {
		if len(data) > 0 {
			return nil
		}
		return os.Remove(path)
	})
}

// alone runs f with host-local's lock.
func (h hostLocal) alone(f func(unread) error) error {
	files, err := h.open()
	if err != nil {
		return err
	}
	defer files.Close()
	if err := files.Lock(); err != nil {
		return fmt.Errorf("ipam %s: %w", HostLocal, err)
	}
	defer func() { _ = files.Unlock() }()
	return f(files)
}

// content is what the file of an attachment's address holds.
func content(a Attachment) string {
	return strings.TrimSpace(a.ContainerID) + disk.LineBreak + a.IfName
}

func (h hostLocal) Check(_ context.Context, a Attachment) error {
	files, err := h.open()
	if err != nil {
		return err
	}
	defer files.Close()
	if !files.FindByID(a.ContainerID, a.IfName) {
		return fmt.Errorf("ipam %s: container %s has no address", HostLocal, a.ContainerID)
	}
	return nil
}

// GC gives back the addresses of attachments that do not live; the plugin's own program knows no GC.
func (h hostLocal) GC(_ context.Context, living []Attachment) error {
	wanted := map[string]bool{}
	for _, a := range living {
		wanted[content(a)] = true
	}
	return h.alone(func(unread) error {
		return h.each(func(path string, data []byte) error {
			if wanted[strings.TrimSpace(string(data))] {
				return nil
			}
			return os.Remove(path)
		})
	})
}

// each calls f with the file of each address that is taken.
func (h hostLocal) each(f func(path string, data []byte) error) error {
	entries, err := os.ReadDir(h.dir())
	if err != nil {
		return fmt.Errorf("ipam %s: %w", HostLocal, err)
	}
	var failed []error
	for _, entry := range entries {
		if _, err := netip.ParseAddr(entry.Name()); err != nil {
			continue
		}
		path := filepath.Join(h.dir(), entry.Name())
		if data, err := os.ReadFile(path); err == nil {
			failed = append(failed, f(path, data))
		}
	}
	return errors.Join(failed...)
}

// Status fails when the files cannot be written.
func (h hostLocal) Status(context.Context) error {
	files, err := h.open()
	if err != nil {
		return err
	}
	return files.Close()
}
