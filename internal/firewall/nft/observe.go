package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Counter is what a rule has met.
type Counter struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// State is what the kernel holds in mcpnet's tables.
type State struct {
	// Chains gives the rule ids of each chain in order, by family and name. A rule that is not ours has the id "".
	Chains map[firewall.Family]map[string][]string
	// Counters gives the counters of rules by id, summed over chains.
	Counters map[string]Counter
	// Elements gives the number of elements of each set and map in table netdev mcpnet, those that rules fill left out.
	Elements map[string]int
}

// Observe reads mcpnet's tables. Tables that do not exist are empty.
func (f *Firewall) Observe() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	state := State{Chains: map[firewall.Family]map[string][]string{}, Counters: map[string]Counter{}, Elements: map[string]int{}}
	for _, family := range []firewall.Family{firewall.NetDev, firewall.Inet} {
		chains, err := f.chains(family)
		if err != nil {
			return State{}, err
		}
		state.Chains[family] = chains
		if err := f.rules(family, state); err != nil {
			return State{}, err
		}
	}
	return state, f.elements(state)
}

func (f *Firewall) chains(family firewall.Family) (map[string][]string, error) {
	listed, err := f.conn.ListChainsOfTableFamily(table(family).Family)
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

// rules reads all rules of a table in one dump; the library only knows dumps of one chain.
func (f *Firewall) rules(family firewall.Family, state State) error {
	messages, err := f.dump(unix.NFT_MSG_GETRULE, family)
	if err != nil {
		return fmt.Errorf("list rules of %s: %w", family, err)
	}
	for _, m := range messages {
		chain, id, counter, err := decodeRule(m.Data)
		if err != nil {
			return fmt.Errorf("decode rule of %s: %w", family, err)
		}
		state.Chains[family][chain] = append(state.Chains[family][chain], id)
		if counter != (Counter{}) {
			sum := state.Counters[id]
			state.Counters[id] = Counter{sum.Packets + counter.Packets, sum.Bytes + counter.Bytes}
		}
	}
	return nil
}

// nfgenHeader is struct nfgenmsg (linux/netfilter/nfnetlink.h): family, version, resource id.
const nfgenHeader = 4

func (f *Firewall) dump(kind uint16, family firewall.Family) ([]netlink.Message, error) {
	config := &netlink.Config{}
	if fd, ok := f.ns.FD(); ok {
		config.NetNS = fd
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	attributes, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: []byte(firewall.TableName + "\x00")}})
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
	return messages, err
}

func decodeRule(data []byte) (chain, id string, counter Counter, err error) {
	ad, err := netlink.NewAttributeDecoder(data[nfgenHeader:])
	if err != nil {
		return "", "", Counter{}, err
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
			ad.Nested(func(list *netlink.AttributeDecoder) error { return decodeCounter(list, &counter) })
		}
	}
	return chain, id, counter, ad.Err()
}

// decodeCounter looks for a counter among a rule's expressions.
func decodeCounter(list *netlink.AttributeDecoder, counter *Counter) error {
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

func decodeCounterData(d *netlink.AttributeDecoder, counter *Counter) error {
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

// elements counts the elements of sets.
func (f *Firewall) elements(state State) error {
	if len(state.Chains[firewall.NetDev]) == 0 {
		return nil
	}
	sets, err := f.conn.GetSets(table(firewall.NetDev))
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list sets: %w", err)
	}
	for _, s := range sets {
		if s.Anonymous || s.HasTimeout {
			continue
		}
		elements, err := f.conn.GetSetElements(s)
		if err != nil {
			return fmt.Errorf("list set %s: %w", s.Name, err)
		}
		state.Elements[s.Name] = len(elements)
	}
	return nil
}
