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
			f.dropElements(g.Guard)
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
	chain := f.conn.AddChain(baseChain(g.Chain))
	f.conn.FlushChain(chain)
	for _, r := range g.Chain.Rules {
		exprs, err := expressions(r)
		if err != nil {
			return err
		}
		f.conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: exprs, UserData: userdata.AppendString(nil, userdata.TypeComment, r.ID)})
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
	f.dropElements(g)
	f.conn.DelChain(baseChain(g.Chain))
	if err := f.conn.Flush(); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// dropElements removes elements one by one, since one that is missing fails a whole transaction.
func (f *Firewall) dropElements(g firewall.Guard) {
	for _, e := range g.Elements {
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

// payload is where a field of an endpoint's rules stands: header, offset and length in bytes.
var payload = map[firewall.Field]expr.Payload{
	firewall.EtherSrc:  {Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
	firewall.EtherType: {Base: expr.PayloadBaseLLHeader, Offset: 12, Len: 2},
	firewall.IPSrc:     {Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
	firewall.ARPSrcMAC: {Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 6},
	firewall.ARPSrcIP:  {Base: expr.PayloadBaseNetworkHeader, Offset: 14, Len: 4},
}

var etherTypes = map[string][]byte{"ip": {0x08, 0x00}, "arp": {0x08, 0x06}}

func expressions(r firewall.Rule) ([]expr.Any, error) {
	out := []expr.Any{}
	if len(r.Match) > 0 {
		// nft puts the same in front of link-layer matches; without it a listing shows bytes instead of names.
		out = append(out, &expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER)})
	}
	for _, m := range r.Match {
		is, ok := m.(firewall.Is)
		load, known := payload[is.Field]
		if !ok || !known || len(is.Values) != 1 {
			return nil, fmt.Errorf("rule %s: %v is not a match of an endpoint's chain", r.ID, m)
		}
		value, err := fieldBytes(is.Field, is.Values[0])
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.ID, err)
		}
		load.DestRegister = 1
		out = append(out, &load, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value})
	}
	next, ok := r.Verdict.(firewall.Goto)
	if !ok {
		return nil, fmt.Errorf("rule %s: %v is not a verdict of an endpoint's chain", r.ID, r.Verdict)
	}
	return append(out, &expr.Verdict{Kind: expr.VerdictGoto, Chain: next.Chain}), nil
}

func fieldBytes(f firewall.Field, value string) ([]byte, error) {
	switch f {
	case firewall.EtherType:
		return etherTypes[value], nil
	case firewall.EtherSrc, firewall.ARPSrcMAC:
		return typeBytes(firewall.EtherAddr, value)
	default:
		return typeBytes(firewall.IPv4Addr, value)
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
	value, err := typeBytes(e.Set.Data, e.Data)
	return nftables.SetElement{Key: key, Val: value}, err
}

var kernelTypes = map[firewall.Type]nftables.SetDatatype{
	firewall.IPv4Addr: nftables.TypeIPAddr, firewall.EtherAddr: nftables.TypeEtherAddr,
	firewall.InetService: nftables.TypeInetService, firewall.IfaceIndex: nftables.TypeIFIndex,
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
