// Package iptables gives a network's uplink its way through the host's iptables: an acceptance in nftables cannot
// override a drop in iptables, and Docker sets FORWARD's policy to DROP. It holds no promise, and it opens nothing
// that another rule closes: the jump to its chain stands at the end of FORWARD, and Docker's isolation of bridges is
// asked first.
package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	goiptables "github.com/coreos/go-iptables/iptables"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
)

// lockSeconds bounds the wait for the xtables lock.
const lockSeconds = 5

// ErrUnavailable says that the host has no usable iptables. The nftables layer holds without it.
var ErrUnavailable = errors.New("no usable iptables")

// Firewall is the iptables of one network namespace, in the variant that holds the engine's chains.
type Firewall struct {
	ns      ns.Handle
	variant string // nft or legacy
	tables  map[goiptables.Protocol]*goiptables.IPTables
}

// Open finds the variant: the one with DOCKER-USER, else nft, else legacy.
func Open(h ns.Handle) (*Firewall, error) {
	var firewalls []*Firewall
	var failed []error
	for _, variant := range []string{"nft", "legacy"} {
		f, err := open(h, variant)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		firewalls = append(firewalls, f)
	}
	for _, f := range firewalls {
		if f.has("DOCKER-USER") {
			return f, nil
		}
	}
	if len(firewalls) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(failed...))
	}
	return firewalls[0], nil
}

// Outdated reports whether the engine may have made its chains in the other variant since Open: a plugin starts before
// its engine has made any.
func (f *Firewall) Outdated() bool {
	if f.variant == "legacy" || f.has("DOCKER-USER") {
		return false
	}
	inUse := false
	_ = f.ns.Do(func() error {
		inUse = legacyInUse()
		return nil
	})
	return inUse
}

// Variant is "nft" or "legacy".
func (f *Firewall) Variant() string { return f.variant }

func open(h ns.Handle, variant string) (*Firewall, error) {
	f := &Firewall{h, variant, map[goiptables.Protocol]*goiptables.IPTables{}}
	err := h.Do(func() error {
		if variant == "legacy" && !legacyInUse() {
			return errors.New("iptables-legacy: its tables are not in use")
		}
		for protocol, command := range map[goiptables.Protocol]string{goiptables.ProtocolIPv4: "iptables-", goiptables.ProtocolIPv6: "ip6tables-"} {
			path, err := exec.LookPath(command + variant)
			if err != nil {
				return err
			}
			t, err := goiptables.New(goiptables.IPFamily(protocol), goiptables.Timeout(lockSeconds), goiptables.Path(path))
			if err != nil {
				return err
			}
			if _, err := t.List("filter", "FORWARD"); err != nil {
				return err
			}
			f.tables[protocol] = t
		}
		return nil
	})
	return f, err
}

// legacyInUse avoids that asking the legacy variant creates its tables.
func legacyInUse() bool {
	names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	return err == nil && bytes.Contains(names, []byte("filter"))
}

func (f *Firewall) has(chain string) bool {
	found := false
	_ = f.ns.Do(func() (err error) {
		found, err = f.tables[goiptables.ProtocolIPv4].ChainExists("filter", chain)
		return err
	})
	return found
}

// Network is a network's uplink and its rules on the host.
type Network struct {
	Uplink string
	Host   firewall.Ruleset
}

// attempts is how often a change is tried again because somebody else changed the same chains since they were read.
const attempts = 10

// Ensure installs or replaces the rules of a network, and what is missing of the chains that lead to them.
func (f *Firewall) Ensure(ctx context.Context, n Network) error {
	return f.change(ctx, goiptables.ProtocolIPv4, func(s snapshot) string {
		return n.text(s) + jumpsText(s, jumps(s, n))
	})
}

// Missing reports whether a chain or a jump of a network is gone or not in its place, or rules of a chain.
func (f *Firewall) Missing(n Network) (missing bool, err error) {
	s, err := f.save(context.Background(), goiptables.ProtocolIPv4)
	if err != nil {
		return false, err
	}
	for _, j := range jumps(s, n) {
		if !j.holds(s) || len(s[j.table][j.target]) < j.rules {
			return true, nil
		}
	}
	return false, nil
}

// Remove takes a network out, and with the last one everything of mcpnet.
func (f *Firewall) Remove(ctx context.Context, uplink string) error {
	return f.change(ctx, goiptables.ProtocolIPv4, func(s snapshot) string { return removeText(s, uplink) })
}

// RemoveLegacy takes out what stood for a bridge on the host before networks had namespaces, in both families.
func (f *Firewall) RemoveLegacy(ctx context.Context, bridge string) error {
	legacy := func(s snapshot) string { return removeLegacyText(s, bridge) }
	return errors.Join(f.change(ctx, goiptables.ProtocolIPv4, legacy), f.change(ctx, goiptables.ProtocolIPv6, legacy))
}

// change loads what text makes of a family's present rules: one process reads them, one changes them.
func (f *Firewall) change(ctx context.Context, protocol goiptables.Protocol, text func(snapshot) string) error {
	err := f.changeOnce(ctx, protocol, text)
	for n := 1; err != nil && n < attempts && ctx.Err() == nil; n++ {
		time.Sleep(rand.N(time.Duration(n) * 5 * time.Millisecond)) // apart from whoever was faster
		err = f.changeOnce(ctx, protocol, text)
	}
	return err
}

func (f *Firewall) changeOnce(ctx context.Context, protocol goiptables.Protocol, text func(snapshot) string) error {
	s, err := f.save(ctx, protocol)
	if err != nil {
		return err
	}
	change := text(s)
	if change == "" {
		return nil
	}
	return f.restore(ctx, protocol, change)
}

func (f *Firewall) save(ctx context.Context, protocol goiptables.Protocol) (snapshot, error) {
	out, err := f.ns.Run(ctx, "", f.command(protocol)+"-save")
	return parseSnapshot(out), err
}

func (f *Firewall) restore(ctx context.Context, protocol goiptables.Protocol, text string) error {
	_, err := f.ns.Run(ctx, text, f.command(protocol)+"-restore", "--noflush", "--wait", fmt.Sprint(lockSeconds))
	return err
}

func (f *Firewall) command(protocol goiptables.Protocol) string {
	if protocol == goiptables.ProtocolIPv6 {
		return "ip6tables-" + f.variant
	}
	return "iptables-" + f.variant
}
