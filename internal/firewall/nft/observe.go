package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// State is what the kernel holds in mcpnet's tables.
type State struct {
	// Chains gives the rule ids of each chain in order, by family and name. A rule that is not ours has the id "".
	Chains map[firewall.Family]map[string][]string
	// Counters gives the counters of rules by id, summed over chains. ObserveOnly leaves them out.
	Counters map[string]topology.Traffic
	// Elements gives what each set and map holds, those that rules fill left out: the data of each key, in the form of
	// [firewall.Element] with " . " between the parts of a key.
	Elements map[string]map[string]string
}

// Observe reads mcpnet's tables, and what is in the sets. Tables and sets that do not exist are empty. Interfaces
// have the names that are given by index.
func (f *Firewall) Observe(sets []firewall.Set, names map[int]string) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := newState()
	for _, family := range []firewall.Family{firewall.NetDev, firewall.Inet} {
		chains, err := f.chains(family)
		if err != nil {
			return State{}, err
		}
		state.Chains[family] = chains
		if len(chains) == 0 {
			continue
		}
		if err := f.rules(state, family, "", f.whole); err != nil {
			return State{}, err
		}
	}
	return state, f.readSets(state, sets, names, f.whole)
}

func newState() State {
	return State{Chains: map[firewall.Family]map[string][]string{firewall.NetDev: {}, firewall.Inet: {}}, Counters: map[string]topology.Traffic{},
		Elements: map[string]map[string]string{}}
}

// ObserveOnly reads the chains of a rule set and the elements that the policy gives its sets, and nothing that grows
// with endpoints. A chain without rules counts as missing.
func (f *Firewall) ObserveOnly(r firewall.Ruleset) (state State, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	policy := slices.DeleteFunc(slices.Clone(r.Sets), func(s firewall.Set) bool { return s.Filled })
	err = f.together(func(each listing) error {
		state = newState()
		state.Counters = nil
		for _, c := range r.Chains {
			if err := f.rules(state, c.Family, c.Name, each); err != nil {
				return err
			}
		}
		return f.readSets(state, policy, nil, each)
	})
	return state, err
}

func (f *Firewall) readSets(state State, sets []firewall.Set, names map[int]string, each listing) error {
	for _, s := range sets {
		if s.Dynamic {
			continue
		}
		elements, err := f.elementsOf(kernelSet(s), each)
		if err != nil {
			return err
		}
		found := make(map[string]string, len(elements))
		for _, e := range elements {
			data := ""
			if s.Data != "" {
				data = valueText(s.Data, e.Val, names)
			}
			found[elementText(s.Key, e, names)] = data
		}
		state.Elements[s.Name] = found
	}
	return nil
}

// MissingElements tells which elements of an endpoint are not in the kernel.
func (f *Firewall) MissingElements(g Guard) (missing []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range g.Elements {
		want, err := elementKey(e, g.Index)
		if err != nil {
			return nil, err
		}
		have, err := f.elementsOf(kernelSet(e.Set), f.whole)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(have, func(s nftables.SetElement) bool {
			return bytes.Equal(s.Key, want.Key) && bytes.Equal(s.KeyEnd, want.KeyEnd)
		}) {
			missing = append(missing, fmt.Sprintf("set %s lacks %s", e.Set.Name, strings.Join(e.Key, " . ")))
		}
	}
	return missing, nil
}

var hostSet = firewall.Set{Family: firewall.Inet, Name: firewall.SetHost, Key: []firewall.Type{firewall.IPv4Addr}}

// HostAddrs gives the elements of the set of the host's addresses.
func (f *Firewall) HostAddrs() (addrs []netip.Addr, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	elements, err := f.elementsOf(kernelSet(hostSet), f.whole)
	for _, e := range elements {
		if a, ok := netip.AddrFromSlice(e.Key); ok {
			addrs = append(addrs, a)
		}
	}
	return addrs, err
}

// SetHostAddrs replaces those elements in one transaction.
func (f *Firewall) SetHostAddrs(addrs []netip.Addr) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	set := kernelSet(hostSet)
	f.conn.FlushSet(set)
	var elements []nftables.SetElement
	for _, a := range addrs {
		elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
	}
	if err := f.conn.SetAddElements(set, elements); err != nil {
		return fmt.Errorf("set %s: %w", hostSet.Name, err)
	}
	return f.conn.Flush()
}

func (f *Firewall) chains(family firewall.Family) (map[string][]string, error) {
	var listed []*nftables.Chain
	err := f.whole(func() (err error) {
		listed, err = f.conn.ListChainsOfTableFamily(table(family).Family)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list chains of %s: %w", family, err)
	}
	out := map[string][]string{}
	for _, c := range listed {
		if c.Table.Name == firewall.TableName {
			out[c.Name] = nil
		}
	}
	return out, nil
}

// rules reads the rules of one chain, or with chain "" all of a table in one dump, which the library does not know.
func (f *Firewall) rules(state State, family firewall.Family, chain string, each listing) error {
	var messages []netlink.Message
	err := each(func() (err error) {
		messages, err = f.dumped(unix.NFT_MSG_GETRULE, family, chain)
		return err
	})
	if err != nil {
		return fmt.Errorf("list rules of %s: %w", family, err)
	}
	for _, m := range messages {
		chain, id, expressions, err := decodeRule(m.Data)
		if err == nil {
			state.Chains[family][chain] = append(state.Chains[family][chain], id)
			err = state.count(id, expressions)
		}
		if err != nil {
			return fmt.Errorf("decode rule of %s: %w", family, err)
		}
	}
	return nil
}

// count adds the counter that is among a rule's expressions, where counters are wanted.
func (s State) count(id string, expressions []byte) error {
	if s.Counters == nil || expressions == nil {
		return nil
	}
	list, err := netlink.NewAttributeDecoder(expressions)
	if err != nil {
		return err
	}
	list.ByteOrder = binary.BigEndian
	var counter topology.Traffic
	if err := errors.Join(decodeCounter(list, &counter), list.Err()); err != nil || counter == (topology.Traffic{}) {
		return err
	}
	sum := s.Counters[id]
	s.Counters[id] = topology.Traffic{Packets: sum.Packets + counter.Packets, Bytes: sum.Bytes + counter.Bytes}
	return nil
}

// nfgenHeader is struct nfgenmsg (linux/netfilter/nfnetlink.h): family, version, resource id.
const nfgenHeader = 4

func (f *Firewall) dumped(kind uint16, family firewall.Family, chain string) ([]netlink.Message, error) {
	conn, err := f.openDump()
	if err != nil {
		return nil, err
	}
	filter := []netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: []byte(firewall.TableName + "\x00")}}
	if chain != "" {
		filter = append(filter, netlink.Attribute{Type: unix.NFTA_RULE_CHAIN, Data: []byte(chain + "\x00")})
	}
	attributes, err := netlink.MarshalAttributes(filter)
	if err != nil {
		return nil, err
	}
	messages, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | netlink.Dump},
		Data:   append([]byte{byte(table(family).Family), unix.NFNETLINK_V0, 0, 0}, attributes...),
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Join(err, f.closeDump()) // what is left of the answer would be taken for the next one's
	}
	return messages, nil
}

// largestPart is the most that the kernel puts into a part of a list (netlink_dump). With room for it nobody has to ask
// how large the next part is.
const largestPart = 32 << 10

// openDump gives the socket for dumps. A process for each attachment makes a dozen dumps: a socket for each would be
// felt.
func (f *Firewall) openDump() (*netlink.Conn, error) {
	if f.dump != nil {
		return f.dump, nil
	}
	config := &netlink.Config{MessageBufferSize: largestPart}
	if fd, ok := f.ns.Socket(); ok {
		config.NetNS = fd
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, config)
	if err != nil {
		return nil, err
	}
	f.dump = conn
	return conn, nil
}

func (f *Firewall) closeDump() error {
	if f.dump == nil {
		return nil
	}
	conn := f.dump
	f.dump = nil
	return conn.Close()
}

func decodeRule(data []byte) (chain, id string, expressions []byte, err error) {
	ad, err := netlink.NewAttributeDecoder(data[nfgenHeader:])
	if err != nil {
		return "", "", nil, err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_CHAIN:
			chain = ad.String()
		case unix.NFTA_RULE_USERDATA:
			comment, _ := userdata.GetString(ad.Bytes(), userdata.TypeComment)
			id = strings.TrimRight(comment, "\x00")
		case unix.NFTA_RULE_EXPRESSIONS:
			expressions = ad.Bytes()
		}
	}
	return chain, id, expressions, ad.Err()
}

// decodeCounter looks for a counter among a rule's expressions.
func decodeCounter(list *netlink.AttributeDecoder, counter *topology.Traffic) error {
	for list.Next() {
		list.Nested(func(e *netlink.AttributeDecoder) error {
			name := ""
			for e.Next() {
				switch {
				case e.Type() == unix.NFTA_EXPR_NAME:
					name = e.String()
				case e.Type() == unix.NFTA_EXPR_DATA && name == "counter":
					e.Nested(func(d *netlink.AttributeDecoder) error { return decodeCounterData(d, counter) })
				}
			}
			return nil
		})
	}
	return nil
}

func decodeCounterData(d *netlink.AttributeDecoder, counter *topology.Traffic) error {
	for d.Next() {
		switch d.Type() {
		case unix.NFTA_COUNTER_BYTES:
			counter.Bytes = d.Uint64()
		case unix.NFTA_COUNTER_PACKETS:
			counter.Packets = d.Uint64()
		}
	}
	return nil
}

// elementsOf lists a set. One that is missing is empty; the library passes on what the kernel said as text only.
func (f *Firewall) elementsOf(s *nftables.Set, each listing) (elements []nftables.SetElement, err error) {
	err = each(func() (err error) {
		elements, err = f.conn.GetSetElements(s)
		return err
	})
	if err != nil && !strings.HasSuffix(err.Error(), unix.ENOENT.Error()) {
		return nil, fmt.Errorf("list set %s: %w", s.Name, err)
	}
	return elements, nil
}
