package filter_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/filter"
)

func TestAllowedName(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		m := w.udp.ask(t, alice, "API.example.COM", dnsmessage.TypeA)
		if got := told(m); m.RCode != 0 || len(got) != 1 || !w.config(nil).Pool.Contains(got[0]) || m.Answers[0].Header.TTL != 30 {
			t.Fatalf("%+v", m)
		}
		if m.Questions[0].Name.String() != "API.example.COM." {
			t.Errorf("the question came back as %s", m.Questions[0].Name)
		}
		if to := w.kernel.leadsTo(told(m)[0]); len(to) != 1 || to[0].String() != "203.0.113.1" {
			t.Errorf("the mapping leads to %v", to)
		}
		if !slices.Equal(w.upstream.queries, []string{"udp api.example.com."}) {
			t.Errorf("asked upstream: %q", w.upstream.queries)
		}
		again := w.udp.ask(t, alice, api, dnsmessage.TypeA)
		if !slices.Equal(told(again), told(m)) || w.upstream.asked() != 1 || len(w.kernel.written()) != 1 {
			t.Errorf("again: %v, %d queries, %q", told(again), w.upstream.asked(), w.kernel.written())
		}
		if w.count(filter.Answered, "") != 2 {
			t.Errorf("%+v", w.events)
		}
	})
}

func TestNamesThatAreNotAllowed(t *testing.T) {
	types := []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA, dnsmessage.TypeTXT, dnsmessage.TypePTR, 65, 255}
	names := map[string]filter.Reason{"evil.example.com": filter.NotAllowed, "com": filter.NotAllowed, "notslack.com": filter.NotAllowed,
		"slack.com": filter.NotAllowed, api + ".corp.internal": filter.NotAllowed, "1.113.0.203.in-addr.arpa": filter.NotAllowed,
		"a b.slack.com": filter.NotAHost, "a/b.slack.com": filter.NotAHost, "\x07.slack.com": filter.NotAHost}
	run(t, nil, func(t *testing.T, w *world) {
		for name, reason := range names {
			for _, typ := range types {
				before := w.count(filter.Denied, reason)
				m := w.udp.ask(t, alice, name, typ)
				code, text := extended(m)
				if m.RCode != dnsmessage.RCodeNameError || len(m.Answers)+len(m.Authorities) != 0 || code != 18 {
					t.Errorf("%s %s: %+v", name, typ, m)
				}
				if reason == filter.NotAllowed && !strings.Contains(text, "mcpnet.allow of mcp-secure does not name "+name) {
					t.Errorf("%s: %q", name, text)
				}
				if w.count(filter.Denied, reason) != before+1 {
					t.Errorf("%s: not reported as %s", name, reason)
				}
			}
		}
		if w.upstream.asked() != 0 || len(w.kernel.written()) != 0 {
			t.Errorf("a denied name had effects: %q, %q", w.upstream.queries, w.kernel.written())
		}
	})
}

func TestOtherTypesOfAllowedNames(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		for _, name := range []string{api, "a.slack.com"} {
			for _, typ := range []dnsmessage.Type{dnsmessage.TypeAAAA, dnsmessage.TypeTXT, dnsmessage.TypeSRV, 64, 65, 10, 255} {
				m := w.udp.ask(t, alice, name, typ)
				if m.RCode != 0 || len(m.Answers)+len(m.Authorities) != 0 {
					t.Errorf("%s %s: %+v", name, typ, m)
				}
			}
		}
		if w.upstream.asked() != 0 || w.count(filter.Empty, filter.OtherType) != 14 {
			t.Errorf("%q %+v", w.upstream.queries, w.events)
		}
	})
}
