package dnsmsg

import (
	"encoding/binary"
	"errors"

	"golang.org/x/net/dns/dnsmessage"
)

// Query is a client's question.
type Query struct {
	ID               uint16
	Name             string // canonical: lower case, no dot at the end, odd bytes as \DDD
	Type             Type
	RecursionDesired bool
	EDNS             bool
	UDPSize          int // the largest answer over UDP, from MinUDP to MaxUDP

	question dnsmessage.Question // as the client spelled it
}

// QueryError says what is wrong with a query, and what can be said to whoever sent it.
type QueryError struct {
	Problem string
	reply   []byte
}

func (e *QueryError) Error() string { return e.Problem }

// ParseQuery reads the one question of a query. Its error is a *QueryError.
func ParseQuery(msg []byte) (Query, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil {
		return Query{}, &QueryError{Problem: "shorter than a header"}
	}
	if h.Response {
		return Query{}, &QueryError{Problem: "an answer, not a question"}
	}
	q := Query{ID: h.ID, RecursionDesired: h.RecursionDesired, UDPSize: MinUDP}
	if h.OpCode != 0 {
		return Query{}, q.refuse("an operation other than QUERY", h.OpCode, dnsmessage.RCodeNotImplemented)
	}
	if err := q.read(&p, msg); err != nil {
		return Query{}, q.refuse(err.Error(), 0, dnsmessage.RCodeFormatError)
	}
	if q.question.Class != dnsmessage.ClassINET {
		return Query{}, q.refuse("a class other than IN", 0, dnsmessage.RCodeNotImplemented)
	}
	if err := q.readExtension(&p); err != nil {
		return Query{}, q.refuse(err.Error(), 0, dnsmessage.RCodeFormatError)
	}
	if q.UDPSize == 0 {
		q.UDPSize = MinUDP
		return Query{}, q.refuse("a version of EDNS other than 0", 0, badVersion)
	}
	return q, nil
}

// refuse is the error with an answer that has a code, and the question if it could be read.
func (q Query) refuse(problem string, op dnsmessage.OpCode, code dnsmessage.RCode) *QueryError {
	m := q.message(code)
	m.OpCode = op
	return &QueryError{Problem: problem, reply: pack(m)}
}

// read takes the question of a message that has one, and no records.
func (q *Query) read(p *dnsmessage.Parser, msg []byte) error {
	if binary.BigEndian.Uint16(msg[4:]) != 1 {
		return errors.New("not one question")
	}
	if binary.BigEndian.Uint32(msg[6:]) != 0 {
		return errors.New("a question with records")
	}
	question, err := p.Question()
	if err != nil {
		return errors.New("the question is malformed")
	}
	if !uncompressed(msg) {
		return errors.New("the name of the question is compressed")
	}
	q.question, q.Name, q.Type = question, canonical(question.Name), question.Type
	return errors.Join(p.SkipAllQuestions(), p.SkipAllAnswers(), p.SkipAllAuthorities())
}

// uncompressed reports whether the name after the header has no pointer: it is echoed byte for byte. The parser has
// read it already.
func uncompressed(msg []byte) bool {
	for at := headerSize; at < len(msg); at += int(msg[at]) + 1 {
		if msg[at]&0xc0 != 0 {
			return false
		}
		if msg[at] == 0 {
			return true
		}
	}
	return false
}

// readExtension looks for EDNS (RFC 6891) among the additional records. Its options are not looked at. A version that
// nobody knows leaves a size of zero.
func (q *Query) readExtension(p *dnsmessage.Parser) error {
	for range maxRecords {
		h, err := p.AdditionalHeader()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone):
			return nil
		case err != nil:
			return errors.New("an additional record is malformed")
		case h.Type == dnsmessage.TypeOPT:
			err = q.extend(h)
		}
		if err = errors.Join(err, p.SkipAdditional()); err != nil {
			return err
		}
	}
	return errors.New("too many additional records")
}

func (q *Query) extend(h dnsmessage.ResourceHeader) error {
	if q.EDNS || h.Name.Length != 1 {
		return errors.New("EDNS twice, or of a name")
	}
	q.EDNS = true
	q.UDPSize = min(max(int(h.Class), MinUDP), MaxUDP)
	if h.TTL&ednsVersions != 0 {
		q.UDPSize = 0
	}
	return nil
}

// ReplyTo is the answer to a message for which ParseQuery gave an error. It is nil where silence is the answer.
func ReplyTo(err error) []byte {
	var q *QueryError
	if errors.As(err, &q) {
		return q.reply
	}
	return nil
}
