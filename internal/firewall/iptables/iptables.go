// Package iptables puts the host's part of a rule set into iptables and ip6tables. It is there because an acceptance in
// nftables cannot override a drop in iptables, and Docker sets FORWARD's policy to DROP: a gateway's egress needs an
// ACCEPT there. What it drops is a second lock; nftables holds without it.
package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
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

// Network is a network's bridge and the chains of the host's stack that guard it.
type Network struct {
	Bridge string
	Host   firewall.Ruleset
}

// text is the network's own chains, as input of iptables-restore.
func (n Network) text(protocol goiptables.Protocol) string {
	if protocol == goiptables.ProtocolIPv6 {
		return RestoreText6(n.Bridge)
	}
	return RestoreText(n.Bridge, n.Host)
}

// attempts is how often a change is tried again because somebody else changed the same chains since they were read.
const attempts = 10

// Ensure installs or replaces the rules of networks, and what is missing of the chains that lead to them.
func (f *Firewall) Ensure(ctx context.Context, networks ...Network) error {
	return f.change(ctx, func(protocol goiptables.Protocol, s snapshot) string {
		var text strings.Builder
		for _, n := range networks {
			text.WriteString(n.text(protocol))
		}
		return text.String() + jumpsText(s, jumps(protocol, s, networks))
	})
}

// Missing reports whether a chain or a jump of the networks is gone, or rules of a chain.
func (f *Firewall) Missing(networks ...Network) (missing bool, err error) {
	for protocol := range f.tables {
		s, err := f.save(context.Background(), protocol)
		if err != nil {
			return false, err
		}
		for _, j := range jumps(protocol, s, networks) {
			if !s.has(j.table, j.chain, j.rule()) || len(s[j.table][j.target]) < j.rules {
				return true, nil
			}
		}
	}
	return false, nil
}

// Remove takes a network out, and with the last one everything of mcpnet.
func (f *Firewall) Remove(ctx context.Context, bridge string) error {
	return f.change(ctx, func(_ goiptables.Protocol, s snapshot) string { return removeText(s, bridge) })
}

// change loads what text makes of each family's present rules: one process reads them, one changes them. Both families
// are tried, whatever fails.
func (f *Firewall) change(ctx context.Context, text func(goiptables.Protocol, snapshot) string) error {
	var failed []error
	for protocol := range f.tables {
		err := f.changeFamily(ctx, protocol, text)
		for n := 1; err != nil && n < attempts && ctx.Err() == nil; n++ {
			time.Sleep(rand.N(time.Duration(n) * 5 * time.Millisecond)) // apart from whoever was faster
			err = f.changeFamily(ctx, protocol, text)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (f *Firewall) changeFamily(ctx context.Context, protocol goiptables.Protocol, text func(goiptables.Protocol, snapshot) string) error {
	s, err := f.save(ctx, protocol)
	if err != nil {
		return err
	}
	change := text(protocol, s)
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
