// Package ipam gets the addresses of CNI attachments from IPAM plugins. Any plugin is run as CNI asks for.
// host-local, which nearly everybody uses, runs in this process through its own library, on its own files: its
// program reads the file of every other container for each one, and knows no addresses that are not to be handed out.
package ipam

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/plugins/plugins/ipam/host-local/backend/allocator"
	"golang.org/x/sys/unix"
)

// Attachment is who gets an address: CNI_CONTAINERID and CNI_IFNAME.
type Attachment struct {
	ContainerID string
	IfName      string
}

// Lease is an address with what comes with it.
type Lease struct {
	Addr    netip.Prefix // with the subnet's length
	Gateway netip.Addr   // the bridge's address; invalid where the plugin names none
	DNS     types.DNS
}

// Plugin hands out the addresses of one network.
type Plugin interface {
	// Add gets an address: one of those asked for, or without any one that is not reserved.
	Add(ctx context.Context, a Attachment, asked []netip.Addr) (Lease, error)
	// Del gives back what an attachment has; known is its address, if the caller knows it. What is not there is no error.
	Del(ctx context.Context, a Attachment, known netip.Addr) error
	// Check fails when the attachment has no address.
	Check(ctx context.Context, a Attachment) error
	// GC gives back what is not of a living attachment.
	GC(ctx context.Context, living []Attachment) error
	// Status tells why no address could be given now.
	Status(ctx context.Context) error
	// Subnet is the network's subnet and the bridge's address, where the configuration tells them.
	Subnet() (subnet netip.Prefix, bridge netip.Addr, known bool)
}

// HostLocal is the plugin that runs in this process.
const HostLocal = "host-local"

// ErrExhausted says that no address is free.
var ErrExhausted = errors.New("no address is free")

// Open takes the plugin that a network's configuration names, with the addresses that only those get who ask for them.
func Open(kind string, conf []byte, reserved []netip.Addr) (Plugin, error) {
	if kind == HostLocal {
		return openHostLocal(conf, reserved)
	}
	path := os.Getenv("CNI_PATH")
	if _, err := invoke.FindInPath(kind, filepath.SplitList(path)); err != nil {
		return nil, BadConfig{"ipam.type", kind, "no such plugin in CNI_PATH (" + path + ")", HostLocal + ", or another IPAM plugin that is installed there"}
	}
	return program{kind, conf}, nil
}

// OpenToRelease takes a plugin to give addresses back alone (Del and GC). What a configuration says of ranges does
// not matter then, right or wrong.
func OpenToRelease(kind string, conf []byte) (Plugin, error) {
	if kind != HostLocal {
		return program{kind, conf}, nil
	}
	var least struct {
		Name string
		IPAM struct{ DataDir string }
	}
	if err := json.Unmarshal(conf, &least); err != nil {
		return nil, fmt.Errorf("ipam %s: %w", HostLocal, err)
	}
	return hostLocal{conf: &allocator.IPAMConfig{Name: least.Name, DataDir: least.IPAM.DataDir}}, nil
}

// program is a plugin that is run. It finds the attachment in the environment, as CNI has it.
type program struct {
	kind string
	conf []byte
}

func (p program) Add(ctx context.Context, _ Attachment, asked []netip.Addr) (Lease, error) {
	result, err := invoke.DelegateAdd(ctx, p.kind, p.conf, nil)
	if err != nil {
		return Lease{}, fmt.Errorf("ipam %s: %w", p.kind, err)
	}
	got, err := current.NewResultFromResult(result)
	if err != nil {
		return Lease{}, fmt.Errorf("ipam %s: its answer: %w", p.kind, err)
	}
	if len(got.IPs) != 1 || got.IPs[0].Address.IP.To4() == nil {
		return Lease{}, fmt.Errorf("ipam %s: gave %d addresses; an endpoint has exactly one, of IPv4", p.kind, len(got.IPs))
	}
	lease := leaseOf(got.IPs[0])
	lease.DNS = got.DNS
	return lease, nil
}

func leaseOf(c *current.IPConfig) Lease {
	addr, _ := netip.AddrFromSlice(c.Address.IP.To4())
	ones, _ := c.Address.Mask.Size()
	gateway, _ := netip.AddrFromSlice(c.Gateway.To4())
	return Lease{Addr: netip.PrefixFrom(addr, ones), Gateway: gateway}
}

// Del runs with the environment of a DEL for the attachment, which may be another than the caller's own.
func (p program) Del(ctx context.Context, a Attachment, _ netip.Addr) error {
	restore, err := forAttachment(a)
	if err != nil {
		return err
	}
	defer restore()
	if err := invoke.DelegateDel(ctx, p.kind, p.conf, nil); err != nil {
		return fmt.Errorf("ipam %s: %w", p.kind, err)
	}
	return nil
}

// forAttachment names the attachment in the environment until restore.
func forAttachment(a Attachment) (restore func(), err error) {
	var undo []func()
	restore = func() {
		for _, u := range undo {
			u()
		}
	}
	for name, value := range map[string]string{"CNI_CONTAINERID": a.ContainerID, "CNI_IFNAME": a.IfName} {
		before, _ := unix.Getenv(name)
		if err := unix.Setenv(name, value); err != nil {
			return restore, err
		}
		undo = append(undo, func() { _ = unix.Setenv(name, before) })
	}
	return restore, nil
}

func (p program) Check(ctx context.Context, _ Attachment) error {
	return wrap(p.kind, invoke.DelegateCheck(ctx, p.kind, p.conf, nil))
}

func (p program) GC(ctx context.Context, _ []Attachment) error {
	return wrap(p.kind, invoke.DelegateGC(ctx, p.kind, p.conf, nil))
}

func (p program) Status(ctx context.Context) error {
	return wrap(p.kind, invoke.DelegateStatus(ctx, p.kind, p.conf, nil))
}

func (p program) Subnet() (netip.Prefix, netip.Addr, bool) {
	return netip.Prefix{}, netip.Addr{}, false
}

func wrap(kind string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ipam %s: %w", kind, err)
}
