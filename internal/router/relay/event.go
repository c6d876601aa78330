package relay

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/hello"
)

// EventKind is what became of a connection.
type EventKind uint8

// A connection is denied, or opened and later closed.
const (
	Denied EventKind = iota + 1
	Opened
	Closed
)

// Event tells what became of a connection.
type Event struct {
	Kind     EventKind
	Server   netip.Addr     // who connected
	Original netip.AddrPort // where to; not set where a limit denies
	Target   Target         // what that address stands for, where somebody owns it
	Reason   Reason         // why it was denied, or why it ended before both sides were done
	Asked    string         // on a mismatch, the name that the client asked for: a host name in lower case
	Err      error          // what the kernel said, where that is the reason
	Sent     int64          // of Closed: bytes that the server sent
	Received int64          // of Closed: bytes that it received
	Lasted   time.Duration  // of Closed: since the connection was opened
}

// Reason says in one word why a connection was denied or ended: one of Reasons.
type Reason = hello.Reason

// The reasons beside those of package hello.
const (
	NoOriginal          Reason = "no-original"           // the kernel does not know where the client meant to connect to
	NoOwner             Reason = "no-owner"              // nobody permits the address, or the port
	SlowHello           Reason = "slow-hello"            // no whole hello in time
	ClientClosed        Reason = "client-closed"         // the client left before its hello was whole
	SNIMismatch         Reason = "sni-mismatch"          // the server name is not the name that owns the address
	HostMismatch        Reason = "host-mismatch"         // the host is not the name that owns the address
	Unreachable         Reason = "unreachable"           // the name's own address does not answer
	LimitHellos         Reason = "limit-hellos"          // too many connections of this server wait to be let through
	LimitHellosAll      Reason = "limit-hellos-all"      // too many connections of all servers wait to be let through
	LimitConnections    Reason = "limit-connections"     // too many connections of this server
	LimitConnectionsAll Reason = "limit-connections-all" // too many connections of all servers
	Reset               Reason = "reset"                 // one side reset the connection
	Revoked             Reason = "revoked"               // it is not permitted any more
	Shutdown            Reason = "shutdown"              // the relay ended
)

// Reasons lists every reason there is.
func Reasons() []Reason {
	return slices.Concat(hello.Reasons(), []Reason{NoOriginal, NoOwner, SlowHello, ClientClosed, SNIMismatch, HostMismatch,
		Unreachable, LimitHellos, LimitHellosAll, LimitConnections, LimitConnectionsAll, Reset, Revoked, Shutdown})
}

// Why the context of a connection ends before the connection does.
var (
	errRevoked  = errors.New("revoked")
	errShutdown = errors.New("shutdown")
)
