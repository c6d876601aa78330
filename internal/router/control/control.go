// Package control is what the resident process and the process that parses say to each other: one JSON document in each
// packet of a SOCK_SEQPACKET socket (unix(7)), and with some of them a descriptor (SCM_RIGHTS).
package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// Kind is what a message asks or says.
type Kind string

// The kinds. The process that parses asks; the other one answers with the same id, and says what changes.
const (
	Bind    Kind = "bind"    // asks for the synthetic address of a name, which has these addresses
	Forget  Kind = "forget"  // says that a name of a server is not refreshed any more
	Resolve Kind = "resolve" // asks what a resolver says of a name
	Dial    Kind = "dial"    // asks for a connection to what a synthetic address stands for
	Event   Kind = "event"   // says what became of a question or a connection
	Answer  Kind = "answer"
	Server  Kind = "server" // says which names a server may reach
	Gone    Kind = "gone"   // says that a server is not there any more
	Bound   Kind = "bound"  // says whose a synthetic address is
	Ready   Kind = "ready"  // says that everything was said
)

// Message is one packet. Which fields it has depends on its kind.
type Message struct {
	ID      uint64        `json:"id,omitempty"`
	Kind    Kind          `json:"kind"`
	Server  netip.Addr    `json:"server,omitzero"`
	Name    string        `json:"name,omitempty"`
	Addr    netip.Addr    `json:"addr,omitzero"`
	Port    uint16        `json:"port,omitempty"`
	Addrs   []netip.Addr  `json:"addrs,omitempty"`
	TTL     time.Duration `json:"ttl,omitempty"`
	Network string        `json:"network,omitempty"` // of Resolve: udp or tcp
	Text    []byte        `json:"text,omitempty"`    // what the resolver said
	List    *policy.Allow `json:"list,omitempty"`    // of Server: its own; without it the network's
	Verdict string        `json:"verdict,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Error   string        `json:"error,omitempty"`

	// File is the descriptor that came with the message, or goes with it.
	File *os.File `json:"-"`
}

// sendTime is how long the other end may take to make room for a message: who waits for it holds up others. Then the
// conversation ends.
const sendTime = time.Second

// maxPacket is the largest message: a list of some thousand names.
const maxPacket = 256 << 10

// Conn is one end of the socket.
type Conn struct {
	unix *net.UnixConn
	send sync.Mutex
	buf  []byte
	// rights is room for descriptors. Without it the kernel closes those that come.
	rights []byte
}

// Pair makes a socket: an end for this process and a descriptor for the other.
func Pair() (*Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	other := os.NewFile(uintptr(fds[1]), "control")
	mine := os.NewFile(uintptr(fds[0]), "control")
	c, err := ofFile(mine, 0)
	if err != nil {
		return nil, nil, errors.Join(err, other.Close())
	}
	return c, other, nil
}

// FromFile makes an end of a descriptor, and closes that. Messages bring descriptors there.
func FromFile(f *os.File) (*Conn, error) { return ofFile(f, unix.CmsgSpace(4)) }

func ofFile(f *os.File, rights int) (*Conn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("control socket: not a Unix socket"), c.Close())
	}
	_ = u.SetWriteBuffer(2 * maxPacket)
	return &Conn{unix: u, buf: make([]byte, maxPacket), rights: make([]byte, rights)}, nil
}

// Close closes the end. The other one then reads io.EOF.
func (c *Conn) Close() error { return c.unix.Close() }

// Send sends a message. Its file stays open.
func (c *Conn) Send(m Message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(text) > maxPacket {
		return fmt.Errorf("message %s: %d bytes, more than %d", m.Kind, len(text), maxPacket)
	}
	var rights []byte
	if m.File != nil {
		rights = unix.UnixRights(int(m.File.Fd()))
	}
	deadline := time.Now().Add(sendTime)
	c.send.Lock()
	defer c.send.Unlock()
	if err = c.unix.SetWriteDeadline(deadline); err == nil {
		_, _, err = c.unix.WriteMsgUnix(text, rights, nil)
	}
	if err != nil {
		c.unix.Close()
	}
	return err
}

// Receive reads the next message; one goroutine at a time calls it. What is no message ends the conversation.
func (c *Conn) Receive() (m Message, err error) {
	n, rn, _, _, err := c.unix.ReadMsgUnix(c.buf, c.rights)
	if err != nil {
		return m, err
	}
	if n == 0 {
		return m, io.EOF
	}
	if m.File, err = fileOf(c.rights[:rn]); err != nil {
		return m, err
	}
	decoder := json.NewDecoder(bytes.NewReader(c.buf[:n]))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&m); err != nil {
		return m, fmt.Errorf("control message: %w", err)
	}
	return m, nil
}

func fileOf(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, message := range messages {
		fds, err := unix.ParseUnixRights(&message)
		if err != nil || len(fds) == 0 {
			continue
		}
		unix.CloseOnExec(fds[0])
		return os.NewFile(uintptr(fds[0]), "passed"), nil
	}
	return nil, nil
}
