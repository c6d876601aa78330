// Package dnsmsg reads and writes the DNS messages of a filter: the questions of clients that nobody trusts, and the
// answers of resolvers that may lie. Nothing that a client wrote but the name goes on to a resolver, and nothing that a
// resolver said but addresses comes back. It has no effects and knows no policy.
package dnsmsg

import "golang.org/x/net/dns/dnsmessage"

// Type is the type of a record.
type Type = dnsmessage.Type

// TypeA is the one type that is answered with records.
const TypeA = dnsmessage.TypeA

// EDE is the code of an extended DNS error (RFC 8914).
type EDE uint16

// The extended DNS errors that a filter has a use for.
const (
	EDEOther       EDE = 0
	EDEBlocked     EDE = 15
	EDEProhibited  EDE = 18
	EDENoAuthority EDE = 22
)

const (
	// MinUDP and MaxUDP are the bounds of an answer over UDP, whatever a client asks for.
	MinUDP = 512
	MaxUDP = 1232

	// MaxHops is how many aliases (CNAME) lead from a name to its addresses.
	MaxHops = 8
	// MaxAddrs is how many addresses of a name are read; those after them are left out.
	MaxAddrs = 16

	// maxRecords is how many records of an answer are looked at.
	maxRecords = 128
	// maxText is how long the text of an extended error is, so that any answer with one fits in MinUDP.
	maxText = 200

	headerSize   = 12
	optionEDE    = 15
	badVersion   = dnsmessage.RCode(16)
	ednsVersions = 0x00ff0000
)
