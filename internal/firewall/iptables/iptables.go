// Package iptables puts the host's part of a rule set into iptables and ip6tables. It is there because an acceptance in
// nftables cannot override a drop in iptables, and Docker sets FORWARD's policy to DROP: a gateway's egress needs an
// ACCEPT there. What it drops is a second lock; nftables holds without it.
package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

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

// Ensure installs or replaces the rules of networks, and what is missing of the chains that lead to them.
func (f *Firewall) Ensure(ctx context.Context, networks ...Network) error {
	for _, n := range networks {
		if err := f.restore(ctx, goiptables.ProtocolIPv4, RestoreText(n.Bridge, n.Host)); err != nil {
			return fmt.Errorf("network %s: %w", n.Bridge, err)
		}
		if err := f.restore(ctx, goiptables.ProtocolIPv6, RestoreText6(n.Bridge)); err != nil {
			return fmt.Errorf("network %s: %w", n.Bridge, err)
		}
	}
	return f.ns.Do(func() error {
		var failed []error
		for _, j := range f.jumps(networks) {
			failed = append(failed, j.ensure(f.tables[j.protocol]))
		}
		return errors.Join(failed...)
	})
}

// Missing reports whether a chain or a jump of the networks is gone, or rules of a chain.
func (f *Firewall) Missing(networks ...Network) (missing bool, err error) {
	err = f.ns.Do(func() error {
		for _, j := range f.jumps(networks) {
			t := f.tables[j.protocol]
			if j.target != "" {
				// The first line declares the chain.
				if listed, err := t.List(j.table, j.target); err != nil || len(listed)-1 < j.rules {
					missing = true
					return nil //nolint:nilerr // a missing chain is an error of List
				}
			}
			if ok, err := t.Exists(j.table, j.chain, j.rule()...); err != nil || !ok {
				missing = true
				return nil //nolint:nilerr // a missing chain is an error of Exists
			}
		}
		return nil
	})
	return missing, err
}

// Remove takes a network out, and with the last one everything of mcpnet.
func (f *Firewall) Remove(ctx context.Context, bridge string) error {
	var failed []error
	for protocol, t := range f.tables {
		gone := map[string][]string{}
		err := f.ns.Do(func() error { return f.unlink(t, bridge, gone) })
		if text := removeText(gone); text != "" {
			err = errors.Join(err, f.restore(ctx, protocol, text))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// unlink removes the jumps to a network's chains and, when no network is left, those to the dispatching chains; gone
// collects the chains by table that can be deleted then.
func (f *Firewall) unlink(t *goiptables.IPTables, bridge string, gone map[string][]string) error {
	for _, h := range hooks {
		p := places[h]
		own, err := t.ChainExists(p.table, p.prefix+bridge)
		if err != nil {
			return err
		}
		if own {
			gone[p.table] = append(gone[p.table], p.prefix+bridge)
		}
		if ok, _ := t.ChainExists(p.table, p.dispatch); !ok {
			continue
		}
		// Asking for a jump to a chain that does not exist is an error. Not every network has one in every table.
		if own {
			if err := t.DeleteIfExists(p.table, p.dispatch, "-j", p.prefix+bridge); err != nil {
				return err
			}
		}
		if err := f.unlinkDispatch(t, p, gone); err != nil {
			return err
		}
	}
	return nil
}

func (f *Firewall) unlinkDispatch(t *goiptables.IPTables, p place, gone map[string][]string) error {
	rules, err := t.List(p.table, p.dispatch)
	if err != nil {
		return err
	}
	for _, rule := range rules {
		if strings.Contains(rule, "-j "+p.prefix) {
			return nil
		}
	}
	for _, parent := range []string{"FORWARD", "DOCKER-USER", "INPUT", "POSTROUTING"} {
		if ok, err := t.Exists(p.table, parent, "-j", p.dispatch); err == nil && ok {
			if err := t.Delete(p.table, parent, "-j", p.dispatch); err != nil {
				return err
			}
		}
	}
	gone[p.table] = append(gone[p.table], p.dispatch)
	return nil
}

func (f *Firewall) restore(ctx context.Context, protocol goiptables.Protocol, text string) error {
	command := "iptables-" + f.variant + "-restore"
	if protocol == goiptables.ProtocolIPv6 {
		command = "ip6tables-" + f.variant + "-restore"
	}
	_, err := f.ns.Run(ctx, text, command, "--noflush", "--wait", fmt.Sprint(lockSeconds))
	return err
}
