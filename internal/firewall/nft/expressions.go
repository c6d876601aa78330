package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// builder makes the rules of one transaction.
type builder struct {
	rules []*nftables.Rule
	sets  []ownSet
	err   error
}

// ownSet is a set without a name, of one rule.
type ownSet struct {
	set      *nftables.Set
	elements []nftables.SetElement
}

// The registers of a rule: of what is compared, and of the port beside an address.
const (
	register = unix.NFT_REG_1
	portReg  = unix.NFT_REG_2
)

// rule makes a rule and, before it, the one that reports what it will take: see [firewall.Ruleset.LoadText].
func (b *builder) rule(chain *nftables.Chain, r firewall.Rule) {
	then, err := verdictOf(r.Verdict)
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("rule %s: %w", r.ID, err))
	}
	if r.Log {
		b.add(chain, r, r.ID+"/log", reported(r)...)
	}
	if r.Count {
		then = append([]expr.Any{&expr.Counter{}}, then...)
	}
	b.add(chain, r, r.ID, then...)
}

// add makes a rule of conditions and what follows from them.
func (b *builder) add(chain *nftables.Chain, r firewall.Rule, id string, then ...expr.Any) {
	var all []expr.Any
	asked := false
	for _, m := range r.Match {
		if readsIPv4(m) && !asked {
			asked = true
			all = append(all, &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register}, equal([]byte{unix.NFPROTO_IPV4}))
		}
		condition, err := b.condition(chain.Table, m)
		if err != nil {
			b.err = errors.Join(b.err, fmt.Errorf("rule %s: %w", id, err))
		}
		all = append(all, condition...)
	}
	b.rules = append(b.rules, &nftables.Rule{Table: chain.Table, Chain: chain, Exprs: append(all, then...),
		UserData: userdata.AppendString(nil, userdata.TypeComment, id)})
}

// readsIPv4 tells whether a condition reads the IPv4 header, which other packets do not have.
func readsIPv4(m firewall.Match) bool {
	is, ok := m.(firewall.Is)
	return ok && (is.Field == firewall.IPSrc || is.Field == firewall.IPDst || is.Field == firewall.IPProto)
}

func (b *builder) condition(t *nftables.Table, m firewall.Match) ([]expr.Any, error) {
	switch m := m.(type) {
	case firewall.Is:
		return b.is(t, m)
	case firewall.IsNot:
		value, err := valueOf(m.Field, m.Value)
		return []expr.Any{loads[m.Field], &expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: value}}, err
	case firewall.Shape:
		if m == firewall.ToHost {
			local := binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)
			return []expr.Any{&expr.Fib{Register: register, FlagDADDR: true, ResultADDRTYPE: true}, equal(local)}, nil
		}
	}
	return nil, fmt.Errorf("%v is not a condition of the host's rules", m)
}

// loads read a field.
var loads = map[firewall.Field]expr.Any{
	firewall.InIface:  &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: register},
	firewall.OutIface: &expr.Meta{Key: expr.MetaKeyOIFNAME, Register: register},
	firewall.CTState:  &expr.Ct{Key: expr.CtKeySTATE, Register: register},
	firewall.CTStatus: &expr.Ct{Key: expr.CtKeySTATUS, Register: register},
	firewall.IPProto:  &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 9, Len: 1, DestRegister: register},
	firewall.IPSrc:    &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4, DestRegister: register},
	firewall.IPDst:    &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4, DestRegister: register},
	firewall.TCPDst:   &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: register},
	firewall.UDPDst:   &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: register},
}

func (b *builder) is(t *nftables.Table, m firewall.Is) ([]expr.Any, error) {
	load, known := loads[m.Field]
	if !known {
		return nil, fmt.Errorf("%s is not a field of the host's rules", m.Field)
	}
	if prefix, err := netip.ParsePrefix(m.Values[0]); err == nil && len(m.Values) == 1 {
		return append([]expr.Any{load}, within(prefix)...), nil
	}
	var values [][]byte
	for _, v := range m.Values {
		value, err := valueOf(m.Field, v)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	switch {
	case m.Field == firewall.CTState || m.Field == firewall.CTStatus:
		return append([]expr.Any{load}, anyBit(values)...), nil
	case len(values) == 1:
		return []expr.Any{load, equal(values[0])}, nil
	}
	found, err := b.among(t, m.Field, values)
	return []expr.Any{load, found}, err
}

// within holds for the addresses of a prefix.
func within(p netip.Prefix) []expr.Any {
	mask := net.CIDRMask(p.Bits(), p.Addr().BitLen())
	return []expr.Any{&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(len(mask)), Mask: mask,
		Xor: make([]byte, len(mask))}, equal(p.Masked().Addr().AsSlice())}
}

func equal(value []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: value}
}

// anyBit holds when one of the bits is set.
func anyBit(bits [][]byte) []expr.Any {
	mask, zero := make([]byte, 4), make([]byte, 4)
	for _, bit := range bits {
		for i := range mask {
			mask[i] |= bit[i]
		}
	}
	return []expr.Any{&expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: mask, Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: zero}}
}

// among looks a value up in a set of the rule's own.
func (b *builder) among(t *nftables.Table, f firewall.Field, values [][]byte) (expr.Any, error) {
	if f != firewall.IPSrc && f != firewall.IPDst {
		return nil, fmt.Errorf("%s with %d values is not a condition of the host's rules", f, len(values))
	}
	set := &nftables.Set{Table: t, Name: "__set%d", ID: uint32(len(b.sets) + 1), Anonymous: true, Constant: true,
		KeyType: nftables.TypeIPAddr}
	elements := make([]nftables.SetElement, len(values))
	for i, v := range values {
		elements[i].Key = v
	}
	b.sets = append(b.sets, ownSet{set, elements})
	return &expr.Lookup{SourceRegister: register, SetName: set.Name, SetID: set.ID}, nil
}

// bits are states of a connection, and IPS_DST_NAT of its status (linux/netfilter/nf_conntrack_common.h).
var bits = map[string]uint32{
	"established": expr.CtStateBitESTABLISHED, "related": expr.CtStateBitRELATED, "dnat": 1 << 5,
}

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}

// valueOf is a value as the kernel compares it.
func valueOf(f firewall.Field, value string) ([]byte, error) {
	switch f {
	case firewall.InIface, firewall.OutIface:
		name := make([]byte, unix.IFNAMSIZ)
		copy(name, value)
		return name, nil
	case firewall.IPSrc, firewall.IPDst:
		a, err := netip.ParseAddr(value)
		return a.AsSlice(), err
	case firewall.TCPDst, firewall.UDPDst:
		port, err := strconv.ParseUint(value, 10, 16)
		return binary.BigEndian.AppendUint16(nil, uint16(port)), err
	case firewall.IPProto:
		if number, known := protocols[value]; known {
			return []byte{number}, nil
		}
	case firewall.CTState, firewall.CTStatus:
		if bit, known := bits[value]; known {
			return binary.NativeEndian.AppendUint32(nil, bit), nil
		}
	}
	return nil, fmt.Errorf("%s %s is not a condition of the host's rules", f, value)
}

// reported is what the rule that reports packets does.
func reported(r firewall.Rule) []expr.Any {
	limit := &expr.Limit{Type: expr.LimitTypePkts, Rate: firewall.LogRatePerSecond, Unit: expr.LimitTimeSecond,
		Burst: firewall.LogBurst}
	return []expr.Any{limit, &expr.Log{Key: 1<<unix.NFTA_LOG_GROUP | 1<<unix.NFTA_LOG_PREFIX,
		Group: firewall.LogGroup, Data: []byte(firewall.LogPrefix(r.ID))}}
}

var verdicts = map[firewall.Verdict]expr.Any{
	firewall.Accept:     &expr.Verdict{Kind: expr.VerdictAccept},
	firewall.ResetTCP:   &expr.Reject{Type: unix.NFT_REJECT_TCP_RST},
	firewall.Reject:     &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED},
	firewall.Masquerade: &expr.Masq{},
}

func verdictOf(v firewall.Verdict) ([]expr.Any, error) {
	if to, ok := v.(firewall.DNAT); ok {
		at, err := netip.ParseAddrPort(to.To)
		return []expr.Any{
			&expr.Immediate{Register: register, Data: at.Addr().AsSlice()},
			&expr.Immediate{Register: portReg, Data: binary.BigEndian.AppendUint16(nil, at.Port())},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4,
				RegAddrMin: register, RegProtoMin: portReg, Specified: true}}, err
	}
	verdict, known := verdicts[v]
	if !known {
		return nil, fmt.Errorf("%v is not a verdict of the host's rules", v)
	}
	return []expr.Any{verdict}, nil
}
