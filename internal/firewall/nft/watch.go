package nft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// nftablesGroup is NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h).
const nftablesGroup = 7

// Watch calls changed after every transaction of another process that took something from mcpnet's tables, or from the
// chains of iptables-nft that lead to its rules. It returns when the context ends or the kernel's stream breaks.
func (f *Firewall) Watch(ctx context.Context, changed func()) error {
	config := &netlink.Config{Groups: 1 << (nftablesGroup - 1)}
	if fd, ok := f.ns.Socket(); ok {
		config.NetNS = fd
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, config)
	if err != nil {
		return fmt.Errorf("watch nftables: %w", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	return receive(ctx, conn, append(pluginNames, ownName()), changed)
}

// pluginNames are the names of mcpnet's own programs: what they change, they change on purpose, and each looks after
// it.
var pluginNames = []string{"mcpnet", "mcpnet-cni", "mcpnet-plugin"}

// receive follows transactions: the kernel tells each change, and at the end (NFT_MSG_NEWGEN) whose they were.
func receive(ctx context.Context, conn *netlink.Conn, own []string, changed func()) error {
	ours := false
	for {
		messages, err := conn.Receive()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, unix.ENOBUFS) {
			changed() // the kernel dropped messages: anything may have happened
			continue
		}
		if err != nil {
			return fmt.Errorf("watch nftables: %w", err)
		}
		for _, m := range messages {
			if isGeneration(m) {
				if ours && !slices.Contains(own, processName(m)) {
					changed()
				}
				ours = false
				continue
			}
			ours = ours || concerns(m)
		}
	}
}

func messageType(m netlink.Message) uint16 { return uint16(m.Header.Type) & 0xff }

func isGeneration(m netlink.Message) bool { return messageType(m) == unix.NFT_MSG_NEWGEN }

// nftaGenProcName is NFTA_GEN_PROC_NAME (linux/netfilter/nf_tables.h).
const nftaGenProcName = 3

func processName(m netlink.Message) string {
	attributes, err := netlink.UnmarshalAttributes(m.Data[nfgenHeader:])
	if err != nil {
		return ""
	}
	for _, a := range attributes {
		if a.Type == nftaGenProcName {
			return text(a.Data)
		}
	}
	return ""
}

// ownName is the name the kernel has for this process (TASK_COMM_LEN: 15 bytes).
func ownName() string {
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(name))
}

// hostChains are the chains of iptables-nft whose loss takes ours out of the way of packets.
var hostChains = []string{"FORWARD", "INPUT", "POSTROUTING", "DOCKER-USER", "DOCKER-MCP"}

// concerns reports whether a message takes something away, or puts a rule or an element, where mcpnet's rules are.
func concerns(m netlink.Message) bool {
	var removal bool
	switch messageType(m) {
	case unix.NFT_MSG_DELTABLE, unix.NFT_MSG_DELCHAIN, unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELSET, unix.NFT_MSG_DELSETELEM:
		removal = true
	case unix.NFT_MSG_NEWRULE, unix.NFT_MSG_NEWSETELEM:
	default:
		return false
	}
	attributes, err := netlink.UnmarshalAttributes(m.Data[nfgenHeader:])
	if err != nil || len(attributes) == 0 {
		return true
	}
	// Attribute 1 is the table in every one of these messages, attribute 2 the chain in those of rules.
	table, chain := "", ""
	for _, a := range attributes {
		switch a.Type {
		case unix.NFTA_RULE_TABLE:
			table = text(a.Data)
		case unix.NFTA_RULE_CHAIN:
			chain = text(a.Data)
		}
	}
	if table == firewall.TableName {
		return true
	}
	if !removal || (table != "filter" && table != "nat") {
		return false
	}
	return messageType(m) == unix.NFT_MSG_DELTABLE || strings.HasPrefix(chain, "MCP-") || slices.Contains(hostChains, chain)
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
