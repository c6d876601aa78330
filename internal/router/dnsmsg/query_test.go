package dnsmsg_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// Parts of messages, as the wire has them.
const (
	one     = "0001 0000 0000 0000"                    // one question
	oneEDNS = "0001 0000 0000 0001"                    // and an additional record
	api     = "03417049 07 4558416d504c65 03636f6d 00" // ApI.EXAmPLe.com
	aIN     = "0001 0001"
	opt1232 = "00 0029 04d0 00000000 0000"
	recurse = "beef 0100 "
)

func wire(t testing.TB, parts ...string) []byte {
	t.Helper()
	msg, err := hex.DecodeString(strings.ReplaceAll(strings.Join(parts, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestParseQuery(t *testing.T) {
	tests := map[string]struct {
		msg  []byte
		name string
		typ  dnsmsg.Type
		edns bool
		size int
	}{
		"plain":            {wire(t, recurse, one, api, aIN), "api.example.com", 1, false, 512},
		"EDNS":             {wire(t, recurse, oneEDNS, api, "001c 0001", opt1232), "api.example.com", 28, true, 1232},
		"EDNS, tiny":       {wire(t, recurse, oneEDNS, api, aIN, "00 0029 0001 00000000 0000"), "api.example.com", 1, true, 512},
		"EDNS, huge":       {wire(t, recurse, oneEDNS, api, aIN, "00 0029 ffff 00008000 0000"), "api.example.com", 1, true, 1232},
		"EDNS with cookie": {wire(t, recurse, oneEDNS, api, aIN, "00 0029 04d0 00000000 000c 000a 0008 0102030405060708"), "api.example.com", 1, true, 1232},
		"root":             {wire(t, recurse, one, "00", aIN), ".", 1, false, 512},
		"odd bytes":        {wire(t, recurse, one, "05 00 0a 22 5c ff 00", aIN), `\000\010\034\092\255`, 1, false, 512},
		"another record":   {wire(t, recurse, oneEDNS, api, aIN, "00 0010 0001 00000000 0001 00"), "api.example.com", 1, false, 512},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := dnsmsg.ParseQuery(test.msg)
			if err != nil {
				t.Fatal(err)
			}
			if q.ID != 0xbeef || q.Name != test.name || q.Type != test.typ || q.EDNS != test.edns || q.UDPSize != test.size ||
				!q.RecursionDesired {
				t.Errorf("%+v", q)
			}
			checkEcho(t, test.msg, dnsmsg.Empty(q))
		})
	}
}

// checkEcho fails the test unless an answer has the id and, byte for byte, the question of a query.
func checkEcho(t testing.TB, query, answer []byte) {
	t.Helper()
	end := 12 + bytes.IndexByte(query[12:], 0) + 5
	var p dnsmessage.Parser
	if _, err := p.Start(query); err != nil {
		t.Fatal(err)
	}
	if q, err := p.Question(); err == nil {
		end = 12 + len(q.Name.String()) + 1 + 4
		if q.Name.Length == 1 {
			end = 12 + 1 + 4
		}
	}
	if len(answer) < end || !bytes.Equal(answer[12:end], query[12:end]) || !bytes.Equal(answer[:2], query[:2]) {
		t.Errorf("asked % x\nanswered % x", query, answer)
	}
	if answer[2]&0x80 == 0 {
		t.Error("the answer is no answer")
	}
}

func TestParseQueryRefuses(t *testing.T) {
	const silence = -1
	tests := map[string]struct {
		msg  []byte
		code int
	}{
		"nothing":           {nil, silence},
		"half a header":     {wire(t, "beef 0100 0001"), silence},
		"an answer":         {wire(t, "beef 8100", one, api, aIN), silence},
		"no question":       {wire(t, recurse, "0000 0000 0000 0000"), 1},
		"two questions":     {wire(t, recurse, "0002 0000 0000 0000", api, aIN, api, aIN), 1},
		"an answer in it":   {wire(t, recurse, "0001 0001 0000 0000", api, aIN, "c00c", aIN, "00000001 0004 01020304"), 1},
		"an authority":      {wire(t, recurse, "0001 0000 0001 0000", api, aIN, "c00c", aIN, "00000001 0004 01020304"), 1},
		"cut name":          {wire(t, recurse, one, "0341"), 1},
		"cut type":          {wire(t, recurse, one, api, "00"), 1},
		"pointer to itself": {wire(t, recurse, one, "c00c", aIN), 1},
		"pointer to header": {wire(t, "0161 0000", one, "c000", aIN), 1},
		"pointer in name":   {wire(t, recurse, one, "0141 c002", aIN), 1},
		"dot in a label":    {wire(t, recurse, one, "03 612e62 00", aIN), 1},
		"label of 64":       {wire(t, recurse, one, "40", strings.Repeat("61", 64), "00", aIN), 1},
		"name of 256":       {wire(t, recurse, one, strings.Repeat("3f"+strings.Repeat("61", 63), 4), "00", aIN), 1},
		"UPDATE":            {wire(t, "beef 2800", one, api, "0006 0001"), 4},
		"NOTIFY":            {wire(t, "beef 2000", one, api, "0006 0001"), 4},
		"class CHAOS":       {wire(t, recurse, one, api, "0010 0003"), 4},
		"class ANY":         {wire(t, recurse, one, api, "0001 00ff"), 4},
		"EDNS missing":      {wire(t, recurse, oneEDNS, api, aIN), 1},
		"EDNS cut":          {wire(t, recurse, oneEDNS, api, aIN, "00 0029 04d0 00000000 0008 000a"), 1},
		"EDNS twice":        {wire(t, recurse, "0001 0000 0000 0002", api, aIN, opt1232, opt1232), 1},
		"EDNS of a name":    {wire(t, recurse, oneEDNS, api, aIN, "0161", opt1232), 1},
		"129 records": {wire(t, recurse, "0001 0000 0000 0081", api, aIN,
			strings.Repeat("00 0010 0001 00000000 0001 00", 129)), 1},
		"EDNS version 1": {wire(t, recurse, oneEDNS, api, aIN, "00 0029 04d0 00010000 0000"), 16},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			q, err := dnsmsg.ParseQuery(test.msg)
			if err == nil {
				t.Fatalf("taken for %+v", q)
			}
			reply := dnsmsg.ReplyTo(err)
			if reply != nil && (reply[0] != test.msg[0] || reply[1] != test.msg[1] || reply[2]>>3&15 != test.msg[2]>>3&15) {
				t.Errorf("another id or operation: % x", reply)
			}
			if got := codeOf(t, reply); got != test.code {
				t.Errorf("%v: answered with %d, not %d", err, got, test.code)
			}
		})
	}
}

// codeOf is the code of an answer with its extension, -1 of none.
func codeOf(t testing.TB, msg []byte) int {
	t.Helper()
	if msg == nil {
		return -1
	}
	var m dnsmessage.Message
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("% x: %v", msg, err)
	}
	if !m.Response {
		t.Fatal("the answer is no answer")
	}
	for _, r := range m.Additionals {
		return int(r.Header.ExtendedRCode(m.RCode))
	}
	return int(m.RCode)
}

func FuzzParseQuery(f *testing.F) {
	f.Add(wire(f, recurse, one, api, aIN))
	f.Add(wire(f, recurse, oneEDNS, api, aIN, opt1232))
	f.Add(wire(f, recurse, one, "c00c", aIN))
	f.Add(wire(f, "beef 8100", one, api, aIN))
	f.Fuzz(func(t *testing.T, msg []byte) {
		q, err := dnsmsg.ParseQuery(msg)
		if err != nil {
			if reply := dnsmsg.ReplyTo(err); reply != nil {
				codeOf(t, reply)
			}
			return
		}
		if q.Name != strings.ToLower(q.Name) || strings.ContainsFunc(q.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q", q.Name)
		}
		if q.UDPSize < dnsmsg.MinUDP || q.UDPSize > dnsmsg.MaxUDP {
			t.Errorf("size %d", q.UDPSize)
		}
		denied := dnsmsg.Denied(q, dnsmsg.EDEProhibited, strings.Repeat("é", 300))
		checkEcho(t, msg, denied)
		if len(denied) > dnsmsg.MinUDP {
			t.Errorf("%d bytes", len(denied))
		}
	})
}
