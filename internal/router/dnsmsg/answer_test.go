package dnsmsg_test

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

func parse(t testing.TB, msg []byte) dnsmsg.Query {
	t.Helper()
	q, err := dnsmsg.ParseQuery(msg)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func unpack(t testing.TB, msg []byte) dnsmessage.Message {
	t.Helper()
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("% x: %v", msg, err)
	}
	return m
}

func TestAnswer(t *testing.T) {
	msg := wire(t, recurse, oneEDNS, api, aIN, opt1232)
	answer := dnsmsg.Answer(parse(t, msg), 30, netip.MustParseAddr("198.18.0.7"))
	checkEcho(t, msg, answer)
	m := unpack(t, answer)
	if m.RCode != 0 || !m.RecursionAvailable || !m.RecursionDesired || m.Authoritative || len(m.Answers) != 1 || len(m.Authorities) != 0 {
		t.Fatalf("%+v", m)
	}
	a := m.Answers[0]
	if a.Header.Name.String() != "ApI.EXAmPLe.com." || a.Header.TTL != 30 || a.Body.(*dnsmessage.AResource).A != [4]byte{198, 18, 0, 7} {
		t.Errorf("%+v", a)
	}
}

func TestExtendedErrors(t *testing.T) {
	long := strings.Repeat("é", 150)
	tests := map[string]struct {
		answer func(dnsmsg.Query, dnsmsg.EDE, string) []byte
		code   dnsmessage.RCode
		text   string
	}{
		"denied": {dnsmsg.Denied, dnsmessage.RCodeNameError, "not on the list"},
		"failed": {dnsmsg.ServFail, dnsmessage.RCodeServerFailure, long},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := unpack(t, test.answer(parse(t, wire(t, recurse, oneEDNS, api, aIN, opt1232)), dnsmsg.EDEProhibited, test.text))
			if m.RCode != test.code || len(m.Answers)+len(m.Authorities) != 0 || len(m.Additionals) != 1 {
				t.Fatalf("%+v", m)
			}
			option := m.Additionals[0].Body.(*dnsmessage.OPTResource).Options[0]
			text := string(option.Data[2:])
			if option.Code != 15 || binary.BigEndian.Uint16(option.Data) != 18 || !utf8.ValidString(text) || len(text) > 200 ||
				!strings.HasPrefix(test.text, strings.TrimSuffix(text, "…")) {
				t.Errorf("%d %q", option.Code, option.Data)
			}
			plain := unpack(t, test.answer(parse(t, wire(t, recurse, one, api, aIN)), dnsmsg.EDEProhibited, test.text))
			if plain.RCode != test.code || len(plain.Additionals) != 0 {
				t.Errorf("without EDNS: %+v", plain)
			}
		})
	}
}

func TestForUDP(t *testing.T) {
	long := strings.Repeat("3f"+strings.Repeat("61", 63), 3) + "3d" + strings.Repeat("61", 61) + "00" // the longest name there is
	var addrs []netip.Addr
	for i := range dnsmsg.MaxAddrs {
		addrs = append(addrs, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	for name, test := range map[string]struct {
		msg       []byte
		truncated bool
	}{
		"fits":      {wire(t, recurse, one, api, aIN), false},
		"too large": {wire(t, recurse, one, long, aIN), true},
		"with EDNS": {wire(t, recurse, oneEDNS, long, aIN, opt1232), false},
		"tiny EDNS": {wire(t, recurse, oneEDNS, long, aIN, "00 0029 0200 00000000 0000"), true},
	} {
		t.Run(name, func(t *testing.T) {
			q := parse(t, test.msg)
			answer := dnsmsg.ForUDP(q, dnsmsg.Answer(q, 30, addrs...))
			m := unpack(t, answer)
			if m.Truncated != test.truncated || len(m.Answers) == 0 != test.truncated || len(answer) > q.UDPSize {
				t.Errorf("%d bytes: %+v", len(answer), m.Header)
			}
			checkEcho(t, test.msg, answer)
		})
	}
}
