package nft

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/nftables"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

const (
	// unknownIndex begins the name of an interface that is not there any more; its index follows.
	unknownIndex = "#"
	indexBytes   = 4
	rawPrefix    = "0x"
)

// valueBytes is a value as the kernel holds it. An interface is the endpoint's own, whose index is given.
func valueBytes(t firewall.Type, value string, index int) ([]byte, error) {
	switch t {
	case firewall.IPv4Addr:
		a, err := netip.ParseAddr(value)
		return a.AsSlice(), err
	case firewall.EtherAddr:
		mac, err := net.ParseMAC(value)
		return mac, err
	case firewall.IfaceIndex:
		if number, unknown := strings.CutPrefix(value, unknownIndex); unknown {
			n, err := strconv.Atoi(number)
			return binary.NativeEndian.AppendUint32(nil, uint32(n)), err
		}
		return binary.NativeEndian.AppendUint32(nil, uint32(index)), nil
	case firewall.EtherSource, firewall.EtherTarget:
		return hex.DecodeString(strings.TrimPrefix(value, rawPrefix))
	case firewall.InetProto:
		n, err := strconv.ParseUint(value, 10, 8)
		return []byte{byte(n)}, err
	case firewall.MarkType:
		n, err := strconv.ParseUint(value, 0, 32)
		return binary.NativeEndian.AppendUint32(nil, uint32(n)), err
	case firewall.InetService:
		port, err := strconv.ParseUint(value, 10, 16)
		return binary.BigEndian.AppendUint16(nil, uint16(port)), err
	}
	return nil, fmt.Errorf("type %s is not one of an endpoint's elements", t)
}

// keyBytes is a key as the kernel holds it: each part of a concatenation starts at a multiple of four bytes.
func keyBytes(types []firewall.Type, values []string, index int) ([]byte, error) {
	var key []byte
	for i, t := range types {
		part, err := valueBytes(t, values[i], index)
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
	element, err := elementKey(e, index)
	if err != nil || e.Set.Data == "" {
		return element, err
	}
	element.Val, err = valueBytes(e.Set.Data, e.Data, index)
	return element, err
}

// elementKey is the element without what it leads to. That of an interval set has the first and the last key.
func elementKey(e firewall.GuardElement, index int) (nftables.SetElement, error) {
	if !e.Set.Interval {
		key, err := keyBytes(e.Set.Key, e.Key, index)
		return nftables.SetElement{Key: key}, err
	}
	first, last := bounds(e.Key)
	key, err := keyBytes(e.Set.Key, first, index)
	if err != nil {
		return nftables.SetElement{}, err
	}
	end, err := keyBytes(e.Set.Key, last, index)
	return nftables.SetElement{Key: key, KeyEnd: end}, err
}

// rangeSign is between the first and the last value of a range.
const rangeSign = "-"

// bounds are the first and the last key that an element stands for.
func bounds(values []string) (first, last []string) {
	for _, v := range values {
		from, to, isRange := strings.Cut(v, rangeSign)
		if !isRange {
			to = from
		}
		first, last = append(first, from), append(last, to)
	}
	return first, last
}

// elementText is the text of an element's key: where first and last differ, a part is a range.
func elementText(types []firewall.Type, e nftables.SetElement, names map[int]string) string {
	parts := keyParts(types, e.Key, names)
	if len(e.KeyEnd) == 0 {
		return strings.Join(parts, keySign)
	}
	for i, last := range keyParts(types, e.KeyEnd, names) {
		if i < len(parts) && parts[i] != last {
			parts[i] += rangeSign + last
		}
	}
	return strings.Join(parts, keySign)
}

// valueText is the text of a value of the kernel's.
func valueText(t firewall.Type, b []byte, names map[int]string) string {
	switch {
	case t == firewall.IPv4Addr && len(b) >= 4:
		return netip.AddrFrom4([4]byte(b)).String()
	case t == firewall.EtherAddr && len(b) >= 6:
		return net.HardwareAddr(b[:6]).String()
	case t == firewall.InetProto && len(b) >= 1:
		return strconv.Itoa(int(b[0]))
	case t == firewall.MarkType && len(b) >= 4:
		return fmt.Sprintf("0x%08x", binary.NativeEndian.Uint32(b))
	case t == firewall.InetService && len(b) >= 2:
		return strconv.Itoa(int(binary.BigEndian.Uint16(b)))
	case (t == firewall.EtherSource || t == firewall.EtherTarget) && len(b) >= sizes[t]:
		return rawPrefix + hex.EncodeToString(b[:sizes[t]])
	case t == firewall.IfaceIndex && len(b) >= indexBytes:
		index := int(binary.NativeEndian.Uint32(b))
		if name, ok := names[index]; ok {
			return name
		}
		return unknownIndex + strconv.Itoa(index)
	}
	return fmt.Sprintf("%x", b)
}

var sizes = map[firewall.Type]int{firewall.IPv4Addr: 4, firewall.EtherAddr: 6, firewall.InetService: 2, firewall.InetProto: 1,
	firewall.MarkType: 4, firewall.IfaceIndex: indexBytes, firewall.EtherSource: 9, firewall.EtherTarget: 6}

// keySign is between the parts of a key.
const keySign = " . "

func keyParts(types []firewall.Type, b []byte, names map[int]string) (parts []string) {
	for _, t := range types {
		if len(b) < sizes[t] {
			return append(parts, fmt.Sprintf("%x", b))
		}
		parts = append(parts, valueText(t, b, names))
		next := sizes[t]
		if len(types) > 1 {
			next = (next + 3) / 4 * 4
		}
		b = b[min(next, len(b)):]
	}
	return parts
}
