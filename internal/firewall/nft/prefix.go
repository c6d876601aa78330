package nft

import (
	"context"
	"errors"
	"strings"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// Attributes of enum nft_devices_attributes (linux/netfilter/nf_tables.h). Linux 6.17 has a prefix attribute; 6.16
// takes a name without its final zero byte for a prefix.
const (
	nftaDeviceName   = 1
	nftaDevicePrefix = 2
)

// loadPrefix makes the ingress chain of all devices of a prefix, unless it is there, and replaces its rules.
func (f *Firewall) loadPrefix(c firewall.Chain) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	chains, err := f.chains(c.Family)
	if err != nil {
		return err
	}
	if _, exists := chains[c.Name]; !exists {
		if err := f.addPrefix(firewall.TableName, c); err != nil {
			return err
		}
	}
	if err := f.queueRules(&nftables.Chain{Table: table(c.Family), Name: c.Name}, c.Rules); err != nil {
		return err
	}
	return f.conn.Flush()
}

// listsPrefix says whether the nft command can read such a chain.
func (f *Firewall) listsPrefix(ctx context.Context) (bool, error) {
	out, err := f.ns.Run(ctx, "", "nft", "--version")
	return err == nil && firewall.ListsPrefix(out), err
}

// TakesPrefix finds out whether the kernel would make such a chain. It makes none.
func (f *Firewall) TakesPrefix() (bool, error) {
	const probes = "mcpnet-probe"
	f.mu.Lock()
	defer f.mu.Unlock()
	table, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_TABLE_NAME, Data: []byte(probes + "\x00")}})
	if err != nil {
		return false, err
	}
	probe := firewall.Chain{Family: firewall.NetDev, Name: "c", Hook: firewall.HookIngress, Device: "mcpnet-probe*"}
	for _, device := range prefixForms(probe) {
		chain, err := hooked(probes, probe, device)
		if err != nil {
			return false, err
		}
		err = f.try(request(unix.NFT_MSG_NEWTABLE, netlink.Create, unix.NFPROTO_NETDEV, table), chain)
		if err == nil {
			return true, nil
		}
	}
	return false, nil
}

// prefixForms are the two ways to say a chain's devices.
func prefixForms(c firewall.Chain) []netlink.Attribute {
	prefix := strings.TrimSuffix(c.Device, "*")
	return []netlink.Attribute{{Type: nftaDevicePrefix, Data: []byte(prefix + "\x00")}, {Type: nftaDeviceName, Data: []byte(prefix)}}
}

// addPrefix makes the chain in the form that the kernel knows.
func (f *Firewall) addPrefix(table string, c firewall.Chain) error {
	var failed []error
	for _, device := range prefixForms(c) {
		chain, err := hooked(table, c, device)
		if err == nil {
			err = f.transaction(chain)
		}
		if err == nil {
			return nil
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// hooked is the message that makes a base chain: NFT_MSG_NEWCHAIN.
func hooked(table string, c firewall.Chain, device netlink.Attribute) (m netlink.Message, err error) {
	devices, err := netlink.MarshalAttributes([]netlink.Attribute{device})
	if err != nil {
		return m, err
	}
	hook, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_HOOK_HOOKNUM, Data: be32(unix.NF_NETDEV_INGRESS)},
		{Type: unix.NFTA_HOOK_PRIORITY, Data: be32(uint32(int32(c.Hook.Priority())))},
		{Type: unix.NLA_F_NESTED | nftaHookDevs, Data: devices}})
	if err != nil {
		return m, err
	}
	chain, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_CHAIN_TABLE, Data: []byte(table + "\x00")},
		{Type: unix.NFTA_CHAIN_NAME, Data: []byte(c.Name + "\x00")},
		{Type: unix.NLA_F_NESTED | unix.NFTA_CHAIN_HOOK, Data: hook},
		{Type: unix.NFTA_CHAIN_POLICY, Data: be32(0)}, // NF_DROP
		{Type: unix.NFTA_CHAIN_TYPE, Data: []byte("filter\x00")}})
	return request(unix.NFT_MSG_NEWCHAIN, netlink.Create, unix.NFPROTO_NETDEV, chain), err
}

// nftaHookDevs is NFTA_HOOK_DEVS (linux/netfilter/nf_tables.h).
const nftaHookDevs = 4
