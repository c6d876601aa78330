package filter_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/filter"
)

// TestRate: what is over the rate is told so, then nothing is said. Another client feels nothing of it.
func TestRate(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		var backs []<-chan []byte
		for i := range 300 {
			backs = append(backs, w.udp.send(alice, question(t, api, dnsmessage.TypeAAAA)))
			if i%50 == 0 { // fewer at once than may be in flight, within the same moment
				synctest.Wait()
			}
		}
		synctest.Wait()
		codes := map[string]int{}
		for _, back := range backs {
			select {
			case msg := <-back:
				m := unpack(t, msg)
				if _, text := extended(m); m.RCode == dnsmessage.RCodeServerFailure && !strings.Contains(text, "50 questions a second") {
					t.Errorf("%q", text)
				}
				codes[m.RCode.String()]++
			default:
				codes["silence"]++
			}
		}
		if fmt.Sprint(codes) != "map[RCodeServerFailure:100 RCodeSuccess:100 silence:100]" {
			t.Error(codes)
		}
		if w.count(filter.Failed, filter.TooManyQuestions) != 100 || w.count(filter.Dropped, filter.TooManyQuestions) != 100 {
			t.Error("not counted")
		}
		if m := w.udp.ask(t, bob, api, dnsmessage.TypeA); len(told(m)) != 1 {
			t.Errorf("another client got %+v", m)
		}
		time.Sleep(time.Second)
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 {
			t.Errorf("a second later: %+v", m)
		}
	})
}

// TestInFlight: a client waits for so many answers at once, and all of them for so many.
func TestInFlight(t *testing.T) {
	run(t, func(c *filter.Config) { c.Limits.InFlightAll = 70 }, func(t *testing.T, w *world) {
		w.upstream.set(silent)
		w.policy.set("*.slack.com", filter.Rule{})
		ask := func(client netip.Addr, n int) {
			for i := range n {
				w.udp.send(client, question(t, fmt.Sprintf("x%d.slack.com", i), dnsmessage.TypeA))
			}
			synctest.Wait()
		}
		ask(alice, 60)
		w.policy.set(api, filter.Rule{})
		for range 6 {
			w.udp.send(alice, question(t, api, dnsmessage.TypeA))
		}
		synctest.Wait()
		if n := w.count(filter.Failed, filter.TooManyAtOnce); n != 2 {
			t.Errorf("%d of 66 were over the limit of 64", n)
		}
		ask(bob, 10)
		if n := w.count(filter.Failed, filter.TooManyAtOnce); n != 6 {
			t.Errorf("%d of 76 were over one of the limits 64 and 70", n)
		}
		time.Sleep(10 * time.Second)
		w.upstream.set(says(60, "203.0.113.1"))
		if m := w.udp.ask(t, bob, api, dnsmessage.TypeA); len(told(m)) != 1 {
			t.Errorf("afterwards: %+v", m)
		}
	})
}

func TestClients(t *testing.T) {
	run(t, func(c *filter.Config) { c.Limits.Clients = 2 }, func(t *testing.T, w *world) {
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		w.udp.ask(t, bob, api, dnsmessage.TypeA)
		third := netip.MustParseAddr("172.20.0.12")
		for n := range 2 {
			w.udp.send(third, question(t, api, dnsmessage.TypeA))
			synctest.Wait()
			if w.count(filter.Dropped, filter.TooManyClients) != n+1 {
				t.Errorf("%+v", w.events)
			}
			time.Sleep(6 * time.Minute)
		}
		if m := w.udp.ask(t, third, api, dnsmessage.TypeA); len(told(m)) != 1 {
			t.Errorf("when others are gone: %+v", m)
		}
	})
}

func TestNamesAndMappingsAreBounded(t *testing.T) {
	for name, change := range map[string]func(*filter.Config){
		"names":    func(c *filter.Config) { c.Limits.Names = 2 },
		"bindings": func(c *filter.Config) { c.Limits.Bindings = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, change, func(t *testing.T, w *world) {
				w.udp.ask(t, alice, "a.slack.com", dnsmessage.TypeA)
				w.udp.ask(t, alice, "b.slack.com", dnsmessage.TypeA)
				if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); m.RCode != dnsmessage.RCodeServerFailure {
					t.Errorf("%+v", m)
				}
				if m := w.udp.ask(t, alice, "a.slack.com", dnsmessage.TypeA); len(told(m)) != 1 {
					t.Errorf("a name that is remembered: %+v", m)
				}
				if w.count(filter.Failed, filter.TooManyNames) != 1 || len(w.kernel.written()) != 2 {
					t.Errorf("%+v %q", w.events, w.kernel.written())
				}
				w.policy.remove("*.slack.com")
				time.Sleep(62 * time.Second)
				if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 {
					t.Errorf("when the others are gone: %+v", m)
				}
			})
		})
	}
}

func TestWildcardShape(t *testing.T) {
	long := strings.Repeat("a", 40)
	tests := map[string]bool{"a.slack.com": true, "a.b.c.slack.com": true, long + ".slack.com": true, "a." + long + ".b.slack.com": true,
		"a.b.c.d.slack.com": false, long + "a.slack.com": false, "a." + long + "a.b.slack.com": false}
	run(t, nil, func(t *testing.T, w *world) {
		for name, ok := range tests {
			m := w.udp.ask(t, alice, name, dnsmessage.TypeA)
			if (len(told(m)) == 1) != ok {
				t.Errorf("%s: %+v", name, m)
			}
			if code, text := extended(m); !ok && (m.RCode != dnsmessage.RCodeNameError || code != 15 || !strings.Contains(text, "40 characters")) {
				t.Errorf("%s: %+v", name, m)
			}
		}
		if w.count(filter.Denied, filter.WildShape) != 3 {
			t.Errorf("%+v", w.events)
		}
	})
}

// TestWildcardTunnel: a client that puts data into names below a wildcard is stopped, by minute and in all, before a
// resolver sees them. Names that it asked for already, those of others and exact ones go on.
func TestWildcardTunnel(t *testing.T) {
	run(t, func(c *filter.Config) { c.Limits.WildNamesAll, c.Limits.WildIdle = 260, 15*time.Minute }, func(t *testing.T, w *world) {
		next := 0
		ask := func(client netip.Addr, n int) (answered int) {
			for range n {
				next++
				if m := w.udp.ask(t, client, fmt.Sprintf("data%d.slack.com", next), dnsmessage.TypeA); len(told(m)) == 1 {
					answered++
				}
				time.Sleep(20 * time.Millisecond)
			}
			return answered
		}
		if n := ask(alice, 100); n != 60 || w.upstream.asked() != 60 || w.count(filter.Denied, filter.WildFresh) != 40 {
			t.Errorf("%d of 100 names in 2 seconds, %d queries", n, w.upstream.asked())
		}
		for range 5 {
			time.Sleep(time.Minute)
			ask(alice, 60)
		}
		if n := w.count(filter.Answered, ""); n != 256 || w.count(filter.Denied, filter.WildNames) != 60*6-256 {
			t.Errorf("%d names in all", n)
		}
		if n := ask(bob, 10); n != 4 || w.count(filter.Denied, filter.WildNamesAll) != 6 {
			t.Errorf("%d names of another client, where 4 fit", n)
		}
		for _, name := range []string{"data1.slack.com", api} {
			if m := w.udp.ask(t, alice, name, dnsmessage.TypeA); len(told(m)) != 1 {
				t.Errorf("%s: %+v", name, m)
			}
		}
		if m := w.udp.ask(t, bob, "data1.slack.com", dnsmessage.TypeA); len(told(m)) != 1 {
			t.Errorf("a name that another client holds: %+v", m)
		}
		time.Sleep(25 * time.Minute)
		if n := ask(alice, 60); n != 60 {
			t.Errorf("%d names when the others are gone", n)
		}
		if n := len(w.kernel.forgotten()); n != 256+4+1 {
			t.Errorf("%d mappings were forgotten", n)
		}
	})
}

// TestWildcardNamesInUse: a name is alive as long as one client asks for it.
func TestWildcardNamesInUse(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*filter.Config)
		reason filter.Reason
	}{
		"of a client": {func(c *filter.Config) { c.Limits.WildNames = 1 }, filter.WildNames},
		"in all":      {func(c *filter.Config) { c.Limits.WildNamesAll = 1 }, filter.WildNamesAll},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, test.change, func(t *testing.T, w *world) {
				w.udp.ask(t, alice, "a.slack.com", dnsmessage.TypeA)
				for range 7 { // In the end it is more than an hour since the first question.
					w.udp.ask(t, bob, "a.slack.com", dnsmessage.TypeA)
					time.Sleep(10 * time.Minute)
				}
				if w.udp.ask(t, bob, "b.slack.com", dnsmessage.TypeA); w.count(filter.Denied, test.reason) != 1 {
					t.Errorf("%+v", w.events)
				}
				time.Sleep(62 * time.Minute)
				if m := w.udp.ask(t, bob, "b.slack.com", dnsmessage.TypeA); len(told(m)) != 1 {
					t.Errorf("when nobody asks any more: %+v", m)
				}
			})
		})
	}
}

// TestTypesBelowWildcards: other types reach no resolver, so they hold no name.
func TestTypesBelowWildcards(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		for i := range 70 {
			w.udp.ask(t, alice, fmt.Sprintf("data%d.slack.com", i), dnsmessage.TypeTXT)
		}
		if m := w.udp.ask(t, alice, "a.slack.com", dnsmessage.TypeA); len(told(m)) != 1 || w.upstream.asked() != 1 {
			t.Errorf("%+v %q", m, w.upstream.queries)
		}
	})
}

func TestMalformed(t *testing.T) {
	good := question(t, api, dnsmessage.TypeA)
	answer := append([]byte(nil), good...)
	answer[2] |= 0x80
	two := append([]byte(nil), good...)
	two[5] = 2
	for name, test := range map[string]struct {
		msg     []byte
		verdict filter.Verdict
	}{"short": {good[:8], filter.Dropped}, "an answer": {answer, filter.Dropped}, "cut": {good[:20], filter.Refused},
		"two questions": {two, filter.Refused}} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				for range 70 { // More than may be in flight: none of them stays.
					back := w.udp.send(alice, test.msg)
					synctest.Wait()
					if test.verdict == filter.Refused && unpack(t, <-back).RCode != dnsmessage.RCodeFormatError {
						t.Error("not FORMERR")
					}
				}
				if w.count(test.verdict, filter.Malformed) != 70 {
					t.Errorf("%+v", w.events)
				}
			})
		})
	}
}
