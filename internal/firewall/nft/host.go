package nft

import (
	"errors"

	"github.com/google/nftables"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// LoadHost puts the rules of an uplink into the host's nftables, or replaces its chains, in one transaction. It does so
// without the nft command, which reads every set of the namespace before it adds a rule: an older one crashes on those
// that a newer one made, as Docker's nftables backend has the host's do.
func (f *Firewall) LoadHost(r firewall.Ruleset) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := builder{}
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			b.rule(hostChain(c), rule)
		}
	}
	if b.err != nil {
		return b.err
	}
	for _, c := range r.Chains {
		f.queueHostChain(c)
	}
	for _, s := range b.sets {
		if err := f.conn.AddSet(s.set, s.elements); err != nil {
			return err
		}
	}
	for _, rule := range b.rules {
		f.conn.AddRule(rule)
	}
	return f.conn.Flush()
}

// UnloadHost removes the rules of an uplink. What is missing is no error.
func (f *Firewall) UnloadHost(r firewall.Ruleset) error {
	return errors.Join(f.unloadHost(r), f.removeEmptyTable())
}

func (f *Firewall) unloadHost(r firewall.Ruleset) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range r.Chains {
		f.conn.DelChain(f.queueHostChain(c))
	}
	return f.conn.Flush()
}

// queueHostChain makes a chain, unless it is there, and empties it.
func (f *Firewall) queueHostChain(c firewall.Chain) *nftables.Chain {
	chain := hostChain(c)
	f.conn.AddTable(chain.Table)
	f.conn.AddChain(chain)
	f.conn.FlushChain(chain)
	return chain
}

func hostChain(c firewall.Chain) *nftables.Chain {
	kind, accept := nftables.ChainTypeFilter, nftables.ChainPolicyAccept
	if c.Hook == firewall.HookPostrouting || c.Hook == firewall.HookDstNAT {
		kind = nftables.ChainTypeNAT
	}
	return &nftables.Chain{Table: table(c.Family), Name: c.Name, Type: kind, Policy: &accept,
		Hooknum: hostHooks[c.Hook], Priority: nftables.ChainPriorityRef(nftables.ChainPriority(c.Hook.Priority()))}
}

var hostHooks = map[firewall.Hook]*nftables.ChainHook{
	firewall.HookForward: nftables.ChainHookForward, firewall.HookInput: nftables.ChainHookInput,
	firewall.HookPostrouting: nftables.ChainHookPostrouting, firewall.HookDstNAT: nftables.ChainHookPrerouting,
}
