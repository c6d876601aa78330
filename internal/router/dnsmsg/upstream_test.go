package dnsmsg_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

const host = "api.example.com"

func a(owner string, ttl uint32, addr string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(owner, ttl),
		Body: &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()}}
}

func alias(owner string, ttl uint32, target string) dnsmessage.Resource {
	return dnsmessage.Resource{Header: header(owner, ttl), Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target + ".")}}
}

func header(owner string, ttl uint32) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner + "."), Class: dnsmessage.ClassINET, TTL: ttl}
}

// said is what a resolver says to the question for the addresses of host, id 7; change may spoil it.
func said(t testing.TB, change func(*dnsmessage.Message), answers ...dnsmessage.Resource) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, Response: true, RecursionAvailable: true}, Answers: answers,
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(host + "."), Type: dnsmsg.TypeA, Class: dnsmessage.ClassINET}}}
	if change != nil {
		change(&m)
	}
	msg, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func chain(n int) (records []dnsmessage.Resource) {
	from := host
	for i := range n {
		to := fmt.Sprintf("hop%d.example.net", i)
		records = append(records, alias(from, 300, to))
		from = to
	}
	return append(records, a(from, 60, "203.0.113.1"))
}

func TestParseAnswer(t *testing.T) {
	var many []dnsmessage.Resource
	for i := range 20 {
		many = append(many, a(host, 60, fmt.Sprintf("203.0.113.%d", i)))
	}
	tests := map[string]struct {
		answers []dnsmessage.Resource
		change  func(*dnsmessage.Message)
		want    dnsmsg.Reply
	}{
		"an address": {answers: []dnsmessage.Resource{a(host, 60, "203.0.113.1")}, want: reply(60, "203.0.113.1")},
		"two addresses, one twice": {answers: []dnsmessage.Resource{a(host, 60, "203.0.113.2"), a(host, 20, "203.0.113.1"),
			a(host, 30, "203.0.113.2")}, want: reply(20, "203.0.113.2", "203.0.113.1")},
		"spelled otherwise": {answers: []dnsmessage.Resource{a("API.Example.com", 60, "203.0.113.1")}, want: reply(60, "203.0.113.1")},
		"aliases, in any order": {answers: []dnsmessage.Resource{a("edge.example.net", 5, "203.0.113.1"),
			alias("CDN.example.net", 20, "Edge.example.net"), alias(host, 90, "cdn.EXAMPLE.net")},
			want: dnsmsg.Reply{Addrs: addrs("203.0.113.1"), TTL: 5, Hops: 2}},
		"8 aliases": {answers: chain(8), want: dnsmsg.Reply{Addrs: addrs("203.0.113.1"), TTL: 60, Hops: 8}},
		"an alias that leads out": {answers: []dnsmessage.Resource{alias(host, 9, "cdn.example.net"), a("else.example.net", 1, "203.0.113.1")},
			want: dnsmsg.Reply{TTL: 9, Alias: "cdn.example.net", Hops: 1}},
		"addresses of others": {answers: []dnsmessage.Resource{a("else.example.com", 60, "203.0.113.1")}, want: dnsmsg.Reply{TTL: 1<<31 - 1}},
		"another class": {answers: []dnsmessage.Resource{a(host, 60, "203.0.113.1")}, want: dnsmsg.Reply{TTL: 1<<31 - 1},
			change: func(m *dnsmessage.Message) { m.Answers[0].Header.Class = dnsmessage.ClassCHAOS }},
		"AAAA":             {answers: []dnsmessage.Resource{{Header: header(host, 1), Body: &dnsmessage.AAAAResource{}}}, want: dnsmsg.Reply{TTL: 1<<31 - 1}},
		"20 of them":       {answers: many, want: dnsmsg.Reply{TTL: 60, Addrs: firstOf(many)}},
		"a TTL below zero": {answers: []dnsmessage.Resource{a(host, 1<<31, "203.0.113.1")}, want: reply(0, "203.0.113.1")},
		"no such name":     {change: code(dnsmessage.RCodeNameError), want: dnsmsg.Reply{Code: dnsmessage.RCodeNameError, TTL: 1<<31 - 1}},
		"failed":           {change: code(dnsmessage.RCodeServerFailure), want: dnsmsg.Reply{Code: dnsmessage.RCodeServerFailure}},
		"refused":          {change: code(dnsmessage.RCodeRefused), want: dnsmsg.Reply{Code: dnsmessage.RCodeRefused}},
		"truncated": {answers: []dnsmessage.Resource{a(host, 60, "203.0.113.1")}, want: dnsmsg.Reply{Truncated: true},
			change: func(m *dnsmessage.Message) { m.Truncated = true }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := dnsmsg.ParseAnswer(7, host, said(t, test.change, test.answers...))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Addrs, test.want.Addrs) || fmt.Sprint(got) != fmt.Sprint(test.want) {
				t.Errorf("%+v, not %+v", got, test.want)
			}
		})
	}
}

func code(c dnsmessage.RCode) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) { m.RCode = c }
}

func reply(ttl uint32, list ...string) dnsmsg.Reply {
	return dnsmsg.Reply{TTL: ttl, Addrs: addrs(list...)}
}

func addrs(list ...string) (addrs []netip.Addr) {
	for _, s := range list {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs
}

func firstOf(records []dnsmessage.Resource) (addrs []netip.Addr) {
	for _, r := range records[:dnsmsg.MaxAddrs] {
		addrs = append(addrs, netip.AddrFrom4(r.Body.(*dnsmessage.AResource).A))
	}
	return addrs
}

func TestParseAnswerRefuses(t *testing.T) {
	good := []dnsmessage.Resource{a(host, 60, "203.0.113.1")}
	foreign := map[string]func(*dnsmessage.Message){
		"another id":        func(m *dnsmessage.Message) { m.ID = 8 },
		"a question":        func(m *dnsmessage.Message) { m.Response = false },
		"another name":      func(m *dnsmessage.Message) { m.Questions[0].Name = dnsmessage.MustNewName("api.example.org.") },
		"another type":      func(m *dnsmessage.Message) { m.Questions[0].Type = dnsmessage.TypeTXT },
		"another class":     func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS },
		"no question":       func(m *dnsmessage.Message) { m.Questions = nil },
		"two questions":     func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) },
		"another operation": func(m *dnsmessage.Message) { m.OpCode = 4 },
	}
	for name, change := range foreign {
		if r, err := dnsmsg.ParseAnswer(7, host, said(t, change, good...)); !errors.Is(err, dnsmsg.ErrForeign) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	loops := map[string][]dnsmessage.Resource{
		"of itself": {alias(host, 1, host)},
		"of two":    {alias(host, 1, "b.example"), alias("b.example", 1, host)},
		"9 aliases": chain(9),
	}
	for name, records := range loops {
		if r, err := dnsmsg.ParseAnswer(7, host, said(t, nil, records...)); !errors.Is(err, dnsmsg.ErrAliases) {
			t.Errorf("an alias %s: %+v, %v", name, r, err)
		}
	}
	whole := said(t, nil, chain(2)...)
	for cut := 12; cut < len(whole); cut++ {
		if r, err := dnsmsg.ParseAnswer(7, host, whole[:cut]); err == nil {
			t.Errorf("cut after %d of %d: %+v", cut, len(whole), r)
		}
	}
}

func TestNewQuery(t *testing.T) {
	msg, err := dnsmsg.NewQuery(0x1234, host)
	if err != nil {
		t.Fatal(err)
	}
	q := parse(t, msg)
	if q.ID != 0x1234 || q.Name != host || q.Type != dnsmsg.TypeA || !q.RecursionDesired || !q.EDNS || q.UDPSize != 1232 {
		t.Errorf("%+v", q)
	}
	if want := 12 + len(host) + 2 + 4 + 11; len(msg) != want {
		t.Errorf("%d bytes, not %d: there is more in it than a question", len(msg), want)
	}
	for _, bad := range []string{"", ".", "UPPER.example", `a\032b`, strings.Repeat("a", 64) + ".example"} {
		if _, err := dnsmsg.NewQuery(1, bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(said(f, nil, a(host, 60, "203.0.113.1")))
	f.Add(said(f, nil, chain(3)...))
	f.Add(said(f, nil, alias(host, 1, host)))
	f.Add(said(f, code(dnsmessage.RCodeNameError)))
	f.Fuzz(func(t *testing.T, msg []byte) {
		r, err := dnsmsg.ParseAnswer(7, host, msg)
		if err != nil {
			if r.Addrs != nil || r.Alias != "" {
				t.Errorf("%+v came with %v", r, err)
			}
			return
		}
		if len(r.Addrs) > dnsmsg.MaxAddrs || r.Hops > dnsmsg.MaxHops || r.TTL > 1<<31-1 || (r.Alias != "" && r.Addrs != nil) {
			t.Errorf("%+v", r)
		}
	})
}
