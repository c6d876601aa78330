package nft

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Guard is an endpoint's guard with the index of its wire: names mean nothing to the kernel's sets.
type Guard struct {
	firewall.Guard
	Index int
}

// guardBatch is how many guards go into one transaction: enough to make a repair of a thousand quick, few enough for
// the socket's buffer.
const guardBatch = 100

// Guard installs the guards of endpoints, or puts them right: each chain is replaced in the transaction that fills it.
func (f *Firewall) Guard(guards ...Guard) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(guards) > 0 {
		n := min(guardBatch, len(guards))
		if err := f.guard(guards[:n]); err != nil {
			return err
		}
		guards = guards[n:]
	}
	return nil
}

func (f *Firewall) guard(guards []Guard) error {
	// What an endpoint has no more goes first: a right that it lost ends before another begins.
	for _, g := range guards {
		f.dropElements(g.Gone, g.Index)
	}
	err := f.addGuards(guards)
	if errors.Is(err, unix.EEXIST) {
		// An endpoint that is gone left an element under this key.
		for _, g := range guards {
			f.dropElements(g.Elements, g.Index)
		}
		err = f.addGuards(guards)
	}
	return err
}

func (f *Firewall) addGuards(guards []Guard) error {
	for _, g := range guards {
		if err := f.queue(g); err != nil {
			return err
		}
	}
	return f.conn.Flush()
}

func (f *Firewall) queue(g Guard) error {
	if g.Chain.Name != "" {
		if err := f.queueRules(f.conn.AddChain(baseChain(g.Chain)), g.Chain.Rules); err != nil {
			return err
		}
	}
	for _, e := range g.Elements {
		element, err := setElement(e, g.Index)
		if err != nil {
			return err
		}
		if err := f.conn.SetAddElements(kernelSet(e.Set), []nftables.SetElement{element}); err != nil {
			return fmt.Errorf("set %s: %w", e.Set.Name, err)
		}
	}
	return nil
}

// queueRules replaces the rules of a base chain of wires, which only go on.
func (f *Firewall) queueRules(chain *nftables.Chain, rules []firewall.Rule) error {
	f.conn.FlushChain(chain)
	for _, r := range rules {
		next, ok := r.Verdict.(firewall.Goto)
		if !ok || len(r.Match) > 0 || r.Log || r.Count {
			return fmt.Errorf("rule %s is not one of an ingress chain, which only goes on", r.ID)
		}
		f.conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: next.Chain}},
			UserData: userdata.AppendString(nil, userdata.TypeComment, r.ID)})
	}
	return nil
}

// Unguard removes guards. What is missing is no error: some kernels remove a chain with its device.
func (f *Firewall) Unguard(guards ...Guard) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed []error
	for _, g := range guards {
		if err := f.unguard(g); err != nil {
			failed = append(failed, fmt.Errorf("endpoint's rules: %w", err))
		}
	}
	return errors.Join(failed...)
}

func (f *Firewall) unguard(g Guard) error {
	f.queueElementsGone(g.Index, g.Elements...)
	f.queueChainGone(g.Chain)
	err := f.conn.Flush()
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	f.dropElements(g.Elements, g.Index)
	f.queueChainGone(g.Chain)
	if err := f.conn.Flush(); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

func (f *Firewall) queueChainGone(c firewall.Chain) {
	if c.Name != "" {
		f.conn.DelChain(baseChain(c))
	}
}

// dropElements removes elements one by one, since one that is missing fails a whole transaction.
func (f *Firewall) dropElements(elements []firewall.GuardElement, index int) {
	for _, e := range elements {
		f.queueElementsGone(index, e)
		_ = f.conn.Flush()
	}
}

func (f *Firewall) queueElementsGone(index int, elements ...firewall.GuardElement) {
	for _, e := range elements {
		for _, key := range f.keys(e, index) {
			_ = f.conn.SetDeleteElements(kernelSet(e.Set), []nftables.SetElement{key})
		}
	}
}

// keys are those of an element. The index of a wire that is gone is not known any more: its keys are those with the
// same rest.
func (f *Firewall) keys(e firewall.GuardElement, index int) (keys []nftables.SetElement) {
	key, err := elementKey(e, index)
	if err != nil {
		return nil
	}
	if index != 0 || e.Set.Key[0] != firewall.IfaceIndex || strings.HasPrefix(e.Key[0], unknownIndex) {
		return []nftables.SetElement{key}
	}
	elements, err := f.elementsOf(kernelSet(e.Set), f.whole)
	if err != nil {
		return nil
	}
	for _, have := range elements {
		if len(have.Key) == len(key.Key) && bytes.Equal(have.Key[indexBytes:], key.Key[indexBytes:]) {
			keys = append(keys, nftables.SetElement{Key: have.Key})
		}
	}
	return keys
}

// DropElements removes single elements, named as Observe gives them; index gives the indices of wires that are there.
// What is missing is no error.
func (f *Firewall) DropElements(index map[string]int, elements ...firewall.GuardElement) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range elements {
		f.dropElements([]firewall.GuardElement{e}, index[e.Key[0]])
	}
	return nil
}

func table(f firewall.Family) *nftables.Table {
	family := nftables.TableFamilyNetdev
	if f == firewall.Inet {
		family = nftables.TableFamilyINet
	}
	return &nftables.Table{Family: family, Name: firewall.TableName}
}

func baseChain(c firewall.Chain) *nftables.Chain {
	drop := nftables.ChainPolicyDrop
	return &nftables.Chain{
		Table: table(c.Family), Name: c.Name, Type: nftables.ChainTypeFilter, Device: c.Device, Policy: &drop,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityRef(nftables.ChainPriority(c.Hook.Priority())),
	}
}

var kernelTypes = map[firewall.Type]nftables.SetDatatype{
	firewall.IPv4Addr: nftables.TypeIPAddr, firewall.EtherAddr: nftables.TypeEtherAddr,
	firewall.InetService: nftables.TypeInetService, firewall.InetProto: nftables.TypeInetProto, firewall.MarkType: nftables.TypeMark,
	firewall.IfaceIndex:  nftables.TypeIFIndex,
	firewall.EtherSource: bytesType(sizes[firewall.EtherSource]), firewall.EtherTarget: bytesType(sizes[firewall.EtherTarget]),
}

// bytesType is a number of as many bytes.
func bytesType(n int) nftables.SetDatatype {
	t := nftables.TypeInteger
	t.Bytes = uint32(n)
	return t
}

func kernelSet(s firewall.Set) *nftables.Set {
	parts := make([]nftables.SetDatatype, len(s.Key))
	for i, t := range s.Key {
		parts[i] = kernelTypes[t]
	}
	key := parts[0]
	if len(parts) > 1 {
		key = nftables.MustConcatSetType(parts...)
	}
	return &nftables.Set{Table: table(s.Family), Name: s.Name, IsMap: s.Data != "", KeyType: key, DataType: kernelTypes[s.Data], Concatenation: len(parts) > 1, Interval: s.Interval}
}
