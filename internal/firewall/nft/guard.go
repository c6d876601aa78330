package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Guard is an endpoint's guard with the index of its wire, which names mean nothing to the kernel's maps.
type Guard struct {
	firewall.Guard
	Index int
}

// guardBatch is how many guards go into one transaction: enough to make a repair of a thousand quick, few enough for the
// socket's buffer.
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
	err := f.addGuards(guards)
	if errors.Is(err, unix.EEXIST) {
		// An endpoint that is gone left an element under this key.
		for _, g := range guards {
			f.dropElements(g.Elements)
		}
		err = f.addGuards(guards)
	}
	for _, g := range guards {
		f.dropElements(g.Gone)
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
	chain := f.conn.AddChain(baseChain(g.Chain))
	f.conn.FlushChain(chain)
	for _, r := range g.Chain.Rules {
		next, ok := r.Verdict.(firewall.Goto)
		if !ok || len(r.Match) > 0 || r.Log || r.Count {
			return fmt.Errorf("rule %s is not one of an endpoint's chain, which only goes on", r.ID)
		}
		f.conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: next.Chain}},
			UserData: userdata.AppendString(nil, userdata.TypeComment, r.ID)})
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

// Unguard removes guards. What is missing is no error: some kernels remove a chain with its device.
func (f *Firewall) Unguard(guards ...firewall.Guard) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed []error
	for _, g := range guards {
		if err := f.unguard(g); err != nil {
			failed = append(failed, fmt.Errorf("chain %s: %w", g.Chain.Name, err))
		}
	}
	return errors.Join(failed...)
}

func (f *Firewall) unguard(g firewall.Guard) error {
	f.queueElementsGone(g.Elements...)
	f.conn.DelChain(baseChain(g.Chain))
	err := f.conn.Flush()
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	f.dropElements(g.Elements)
	f.conn.DelChain(baseChain(g.Chain))
	if err := f.conn.Flush(); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// dropElements removes elements one by one, since one that is missing fails a whole transaction.
func (f *Firewall) dropElements(elements []firewall.GuardElement) {
	for _, e := range elements {
		f.queueElementsGone(e)
		_ = f.conn.Flush()
	}
}

func (f *Firewall) queueElementsGone(elements ...firewall.GuardElement) {
	for _, e := range elements {
		key, err := keyBytes(e.Set.Key, e.Key)
		if err == nil {
			_ = f.conn.SetDeleteElements(kernelSet(e.Set), []nftables.SetElement{{Key: key}})
		}
	}
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

func typeBytes(t firewall.Type, value string) ([]byte, error) {
	switch t {
	case firewall.IPv4Addr:
		a, err := netip.ParseAddr(value)
		return a.AsSlice(), err
	case firewall.EtherAddr:
		mac, err := net.ParseMAC(value)
		return mac, err
	case firewall.IfaceName:
		name := make([]byte, unix.IFNAMSIZ)
		if copy(name, value) == len(name) {
			return nil, fmt.Errorf("interface name %q is longer than %d bytes", value, len(name)-1)
		}
		return name, nil
	}
	return nil, fmt.Errorf("type %s is not one of an endpoint's elements", t)
}

// keyBytes is a key as the kernel holds it: each part of a concatenation starts at a multiple of four bytes.
func keyBytes(types []firewall.Type, values []string) ([]byte, error) {
	var key []byte
	for i, t := range types {
		part, err := typeBytes(t, values[i])
		if err != nil {
			return nil, err
		}
		key = append(key, part...)
		for len(types) > 1 && len(key)%4 != 0 {
			key = append(key, 0)
		}
	}
	return key, nil
}

func setElement(e firewall.GuardElement, index int) (nftables.SetElement, error) {
	key, err := keyBytes(e.Set.Key, e.Key)
	if err != nil {
		return nftables.SetElement{}, err
	}
	if e.Set.Data == firewall.IfaceIndex {
		return nftables.SetElement{Key: key, Val: binary.NativeEndian.AppendUint32(nil, uint32(index))}, nil
	}
	if e.Set.Data == "" {
		return nftables.SetElement{Key: key}, nil
	}
	value, err := typeBytes(e.Set.Data, e.Data)
	return nftables.SetElement{Key: key, Val: value}, err
}

var kernelTypes = map[firewall.Type]nftables.SetDatatype{
	firewall.IPv4Addr: nftables.TypeIPAddr, firewall.EtherAddr: nftables.TypeEtherAddr,
	firewall.InetService: nftables.TypeInetService, firewall.IfaceIndex: nftables.TypeIFIndex,
	firewall.IfaceName: nftables.TypeIFName,
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
	return &nftables.Set{Table: table(s.Family), Name: s.Name, IsMap: s.Data != "", KeyType: key, DataType: kernelTypes[s.Data], Concatenation: len(parts) > 1}
}
