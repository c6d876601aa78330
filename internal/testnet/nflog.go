package testnet

import (
	"encoding/binary"
	"os"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Of linux/netfilter/nfnetlink_log.h.
const (
	nflogPacket   = unix.NFNL_SUBSYS_ULOG << 8
	nflogConfig   = nflogPacket | 1
	nflogCommand  = 1 // NFULA_CFG_CMD
	nflogBind     = 1 // NFULNL_CFG_CMD_BIND
	nflogPrefix   = 10
	nfgenmsgBytes = 4
)

// Reports collects what the rules of the namespace report to an NFLOG group until the test ends, and gives the reports'
// prefixes.
func (n *NS) Reports(group uint16) (prefixes func() []string) {
	n.t.Helper()
	file, err := os.Open(n.path)
	must(n.t, err, "%s", n.label)
	defer file.Close()
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(file.Fd())})
	must(n.t, err, "NFLOG of %s", n.label)
	_, err = conn.Execute(bindGroup(group))
	must(n.t, err, "NFLOG group %d of %s", group, n.label)
	var mu sync.Mutex
	var seen []string
	n.t.Cleanup(func() { conn.Close() })
	go func() {
		for {
			messages, err := conn.Receive()
			if err != nil {
				return // closed
			}
			mu.Lock()
			for _, m := range messages {
				seen = append(seen, prefixOf(m)...)
			}
			mu.Unlock()
		}
	}()
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), seen...)
	}
}

func bindGroup(group uint16) netlink.Message {
	attributes, _ := netlink.MarshalAttributes([]netlink.Attribute{{Type: nflogCommand, Data: []byte{nflogBind}}})
	head := binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, group)
	return netlink.Message{Data: append(head, attributes...),
		Header: netlink.Header{Type: nflogConfig, Flags: netlink.Request | netlink.Acknowledge}}
}

// prefixOf is the prefix of a report, if the message is one.
func prefixOf(m netlink.Message) (prefix []string) {
	if m.Header.Type != nflogPacket || len(m.Data) < nfgenmsgBytes {
		return nil
	}
	attributes, err := netlink.UnmarshalAttributes(m.Data[nfgenmsgBytes:])
	if err != nil {
		return nil
	}
	for _, a := range attributes {
		if a.Type == nflogPrefix {
			prefix = append(prefix, unix.ByteSliceToString(a.Data))
		}
	}
	return prefix
}
