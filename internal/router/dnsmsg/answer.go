package dnsmsg

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Answer gives a name its addresses, all of them IPv4.
func Answer(q Query, ttl uint32, addrs ...netip.Addr) []byte {
	m := q.message(dnsmessage.RCodeSuccess)
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Type: TypeA, Class: dnsmessage.ClassINET, TTL: ttl}
	for _, a := range addrs {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
	}
	return pack(m)
}

// Empty says that a name has no records of the type.
func Empty(q Query) []byte { return pack(q.message(dnsmessage.RCodeSuccess)) }

// NoSuchName says that a resolver knows no such name. Nobody remembers it, for there is no SOA record.
func NoSuchName(q Query) []byte { return pack(q.message(dnsmessage.RCodeNameError)) }

// Denied is NoSuchName with the reason, for clients that understand extended errors. REFUSED would hang glibc and stop
// c-ares.
func Denied(q Query, code EDE, text string) []byte {
	return pack(q.explained(dnsmessage.RCodeNameError, code, text))
}

// ServFail says that there is no answer now, and why.
func ServFail(q Query, code EDE, text string) []byte {
	return pack(q.explained(dnsmessage.RCodeServerFailure, code, text))
}

// ForUDP is an answer as it is, or where it is larger than the client reads the request to ask again over TCP.
func ForUDP(q Query, answer []byte) []byte {
	if len(answer) <= max(q.UDPSize, MinUDP) {
		return answer
	}
	m := q.message(dnsmessage.RCodeSuccess)
	m.Truncated = true
	return pack(m)
}

// message is an answer without records.
func (q Query) message(code dnsmessage.RCode) *dnsmessage.Message {
	m := &dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionDesired: q.RecursionDesired,
		RecursionAvailable: true, RCode: code & 0xf}}
	if q.question.Name.Length > 0 {
		m.Questions = []dnsmessage.Question{q.question}
	}
	if q.EDNS {
		m.Additionals = []dnsmessage.Resource{extension(code)}
	}
	return m
}

// extension is the record that says what is understood.
func extension(code dnsmessage.RCode, options ...dnsmessage.Option) dnsmessage.Resource {
	r := dnsmessage.Resource{Body: &dnsmessage.OPTResource{Options: options}}
	_ = r.Header.SetEDNS0(MaxUDP, code, false) // It has no error.
	return r
}

// explained is a message with an extended error, if the client said that it reads those.
func (q Query) explained(code dnsmessage.RCode, ede EDE, text string) *dnsmessage.Message {
	m := q.message(code)
	if q.EDNS {
		data := append(binary.BigEndian.AppendUint16(nil, uint16(ede)), shorten(text)...)
		m.Additionals = []dnsmessage.Resource{extension(code, dnsmessage.Option{Code: optionEDE, Data: data})}
	}
	return m
}

// shorten cuts a text where a character ends.
func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-len("…")], "") + "…"
}

// pack writes a message whose names were read from one. Silence is the answer if that fails.
func pack(m *dnsmessage.Message) []byte {
	msg, err := m.Pack()
	if err != nil {
		return nil
	}
	return msg
}
