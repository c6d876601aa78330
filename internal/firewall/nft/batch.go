package nft

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
)

// batch sends one message as a transaction of its own, for what the library cannot say.
func (f *Firewall) batch(kind uint16, flags netlink.HeaderFlags, family byte, attributes []byte) error {
	return f.transaction(request(kind, flags, family, attributes))
}

// request is one message of a transaction.
func request(kind uint16, flags netlink.HeaderFlags, family byte, attributes []byte) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind), Flags: netlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, 0}, attributes...)}
}

// transaction sends messages that come into force together, or not at all. The kernel answers to the last one, or to
// whichever fails.
func (f *Firewall) transaction(messages ...netlink.Message) error {
	messages[len(messages)-1].Header.Flags |= netlink.Acknowledge
	return f.send(slices.Concat([]netlink.Message{bound(unix.NFNL_MSG_BATCH_BEGIN)}, messages,
		[]netlink.Message{bound(unix.NFNL_MSG_BATCH_END)}))
}

// try has the kernel check the messages of a transaction. Without its end none of them comes into force.
func (f *Firewall) try(messages ...netlink.Message) error {
	messages[len(messages)-1].Header.Flags |= netlink.Acknowledge
	return f.send(slices.Concat([]netlink.Message{bound(unix.NFNL_MSG_BATCH_BEGIN)}, messages))
}

// bound is the message that begins or ends a transaction.
func bound(kind netlink.HeaderType) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data: []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, unix.NFNL_SUBSYS_NFTABLES}}
}

func (f *Firewall) send(messages []netlink.Message) error {
	conn, err := f.openDump()
	if err != nil {
		return err
	}
	if _, err := conn.SendMessages(messages); err != nil {
		return errors.Join(err, f.closeDump())
	}
	if _, err := conn.Receive(); err != nil {
		return errors.Join(err, f.closeDump())
	}
	return nil
}

func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// nonRecursive is NLM_F_NONREC (linux/netlink.h): the kernel refuses to delete what is not empty.
const nonRecursive netlink.HeaderFlags = 0x100

// removeEmptyTable removes the host's table with its last chain. Others may use it.
func (f *Firewall) removeEmptyTable() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_TABLE_NAME, Data: []byte(firewall.TableName + "\x00")}})
	if err != nil {
		return err
	}
	err = f.batch(unix.NFT_MSG_DELTABLE, nonRecursive, unix.NFPROTO_INET, name)
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}
