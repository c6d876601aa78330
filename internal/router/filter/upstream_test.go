package filter_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go4.org/netipx"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/router/filter"
)

// TestResolversThatLie: what a resolver says never leads a server to anything but addresses of the internet.
func TestResolversThatLie(t *testing.T) {
	good := func(q dnsmessage.Message) []byte { return reply(q, address(api+".", 60, "203.0.113.1")) }
	mapped := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(api + "."), Class: dnsmessage.ClassINET},
		Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("::ffff:127.0.0.1").As16()}}
	tests := map[string]struct {
		says    resolverFunc
		verdict filter.Verdict
		reason  filter.Reason
		leadsTo string
		within  time.Duration
	}{
		"private 10":       {says(60, "10.1.2.3"), filter.Denied, filter.PrivateAnswer, "", 0},
		"private 172.16":   {says(60, "172.20.0.100"), filter.Denied, filter.PrivateAnswer, "", 0},
		"private 192.168":  {says(60, "192.168.1.1"), filter.Denied, filter.PrivateAnswer, "", 0},
		"shared":           {says(60, "100.64.0.1"), filter.Denied, filter.PrivateAnswer, "", 0},
		"metadata":         {says(60, "169.254.169.254"), filter.Denied, filter.PrivateAnswer, "", 0},
		"metadata, Azure":  {says(60, "168.63.129.16"), filter.Denied, filter.PrivateAnswer, "", 0},
		"metadata, Oracle": {says(60, "192.0.0.192"), filter.Denied, filter.PrivateAnswer, "", 0},
		"loopback":         {says(60, "127.0.0.53"), filter.Denied, filter.PrivateAnswer, "", 0},
		"unspecified":      {says(60, "0.0.0.0"), filter.Denied, filter.PrivateAnswer, "", 0},
		"multicast":        {says(60, "224.0.0.251"), filter.Denied, filter.PrivateAnswer, "", 0},
		"reserved":         {says(60, "240.0.0.1"), filter.Denied, filter.PrivateAnswer, "", 0},
		"broadcast":        {says(60, "255.255.255.255"), filter.Denied, filter.PrivateAnswer, "", 0},
		"synthetic":        {says(60, "198.18.0.1"), filter.Denied, filter.PrivateAnswer, "", 0},
		"one of them good": {says(60, "10.1.2.3", "203.0.113.7", "127.0.0.1"), filter.Answered, "", "[203.0.113.7]", 0},
		"v4-mapped": {func(_ string, q dnsmessage.Message) [][]byte { return [][]byte{reply(q, mapped)} },
			filter.Empty, filter.NoAddress, "", 0},
		"private behind an alias": {func(_ string, q dnsmessage.Message) [][]byte {
			return [][]byte{reply(q, alias(api+".", 60, "x.evil.example."), address("x.evil.example.", 60, "10.0.0.1"))}
		}, filter.Denied, filter.PrivateAnswer, "", 0},
		"private behind an alias that leads out": {func(_ string, q dnsmessage.Message) [][]byte {
			if q.Questions[0].Name.String() == api+"." {
				return [][]byte{reply(q, alias(api+".", 60, "x.evil.example."))}
			}
			return [][]byte{reply(q, address("x.evil.example.", 60, "10.0.0.1"))}
		}, filter.Denied, filter.PrivateAnswer, "", 0},
		"an alias that leads out": {func(_ string, q dnsmessage.Message) [][]byte {
			if q.Questions[0].Name.String() == api+"." {
				return [][]byte{reply(q, alias(api+".", 60, "cdn.example."))}
			}
			return [][]byte{reply(q, address("cdn.example.", 60, "203.0.113.8"))}
		}, filter.Answered, "", "[203.0.113.8]", 0},
		"aliases that never end": {func(_ string, q dnsmessage.Message) [][]byte {
			name := q.Questions[0].Name.String()
			return [][]byte{reply(q, alias(name, 60, "a"+name))}
		}, filter.Failed, filter.UpstreamFailed, "", 0},
		"an alias of itself": {func(_ string, q dnsmessage.Message) [][]byte {
			return [][]byte{reply(q, alias(api+".", 60, api+"."))}
		}, filter.Failed, filter.UpstreamFailed, "", 0},
		"an alias that is no host": {func(_ string, q dnsmessage.Message) [][]byte {
			return [][]byte{reply(q, alias(api+".", 60, "a b."))}
		}, filter.Failed, filter.UpstreamFailed, "", 0},
		"another id": {func(_ string, q dnsmessage.Message) [][]byte {
			q.ID++
			return [][]byte{good(q)}
		}, filter.Failed, filter.UpstreamFailed, "", 4 * time.Second},
		"another id, then the right one": {func(_ string, q dnsmessage.Message) [][]byte {
			other := q
			other.ID++
			return [][]byte{reply(other, address(api+".", 60, "203.0.113.66")), good(q)}
		}, filter.Answered, "", "[203.0.113.1]", 0},
		"another question, then the right one": {func(_ string, q dnsmessage.Message) [][]byte {
			other := q
			other.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName("x.example."), Type: 1, Class: 1}}
			return [][]byte{reply(other, address(api+".", 60, "203.0.113.66")), good(q)}
		}, filter.Answered, "", "[203.0.113.1]", 0},
		"addresses of another name": {func(_ string, q dnsmessage.Message) [][]byte {
			return [][]byte{reply(q, address("x.example.", 60, "203.0.113.66"))}
		}, filter.Empty, filter.NoAddress, "", 0},
		"noise": {func(_ string, q dnsmessage.Message) [][]byte { return [][]byte{{1, 2, 3}, good(q)[:20], good(q)} },
			filter.Answered, "", "[203.0.113.1]", 0},
		"half an answer":    {func(_ string, q dnsmessage.Message) [][]byte { return [][]byte{good(q)[:40]} }, filter.Failed, filter.UpstreamFailed, "", 0},
		"silence":           {silent, filter.Failed, filter.UpstreamFailed, "", 4 * time.Second},
		"a failure":         {fails(dnsmessage.RCodeServerFailure), filter.Failed, filter.UpstreamFailed, "", 0},
		"a refusal":         {fails(dnsmessage.RCodeRefused), filter.Failed, filter.UpstreamFailed, "", 0},
		"no such name":      {fails(dnsmessage.RCodeNameError), filter.Absent, filter.NoSuchName, "", 0},
		"no address":        {says(60), filter.Empty, filter.NoAddress, "", 0},
		"truncated for TCP": {cut("tcp"), filter.Failed, filter.UpstreamFailed, "", 0},
		"truncated":         {cut("udp"), filter.Answered, "", "[203.0.113.1]", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				w.upstream.set(test.says)
				start := time.Now()
				m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
				if took := time.Since(start); took != test.within {
					t.Errorf("took %s", took)
				}
				checkOutcome(t, w, m, test.verdict, test.reason, test.leadsTo)
			})
		})
	}
}

// cut is a resolver that has no room over a network, nor over those before it.
func cut(network string) resolverFunc {
	return func(over string, q dnsmessage.Message) [][]byte {
		q.Truncated = over == "udp" || over == network
		return [][]byte{reply(q, address(api+".", 60, "203.0.113.1"))}
	}
}

// checkOutcome fails the test unless an answer, the events and the kernel agree with what should be.
func checkOutcome(t *testing.T, w *world, m dnsmessage.Message, v filter.Verdict, r filter.Reason, leadsTo string) {
	t.Helper()
	codes := map[filter.Verdict]dnsmessage.RCode{filter.Answered: 0, filter.Empty: 0, filter.Denied: 3, filter.Absent: 3, filter.Failed: 2}
	if m.RCode != codes[v] || (len(m.Answers) > 0) != (v == filter.Answered) || w.count(v, r) == 0 {
		t.Errorf("not %s, %q: %+v %+v", v, r, m, w.events)
	}
	if v != filter.Answered {
		if writes := w.kernel.written(); len(writes) != 0 {
			t.Errorf("the kernel was written: %q", writes)
		}
		return
	}
	if to := w.kernel.leadsTo(told(m)[0]); !strings.EqualFold(leadsTo, addrsText(to)) {
		t.Errorf("the mapping leads to %v", to)
	}
}

func addrsText(addrs []netip.Addr) string {
	var words []string
	for _, a := range addrs {
		words = append(words, a.String())
	}
	return "[" + strings.Join(words, " ") + "]"
}

// TestSifted: that a resolver gave an address that no name may lead to is reported even if others are good.
func TestSifted(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.upstream.set(says(60, "203.0.113.7", "127.0.0.1"))
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		if w.count(filter.Sifted, filter.PrivateAnswer) != 1 {
			t.Errorf("%+v", w.events)
		}
		w.upstream.set(says(60, "203.0.113.7"))
		time.Sleep(62 * time.Second)
		if w.count(filter.Refreshed, "") != 1 || w.count(filter.Sifted, filter.PrivateAnswer) != 1 {
			t.Errorf("%+v", w.events)
		}
	})
}

func TestPermittedAddresses(t *testing.T) {
	anything := func(c *filter.Config) { c.Permitted = func(netip.Addr) bool { return true } }
	for addr, verdict := range map[string]filter.Verdict{"10.1.2.3": filter.Answered, "169.254.169.254": filter.Answered,
		"127.0.0.1": filter.Denied, "0.0.0.0": filter.Denied, "224.0.0.1": filter.Denied, "255.255.255.255": filter.Denied,
		"198.18.15.255": filter.Denied, "198.18.16.0": filter.Answered} {
		run(t, anything, func(t *testing.T, w *world) {
			w.upstream.set(says(60, addr))
			m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
			if (len(m.Answers) > 0) != (verdict == filter.Answered) {
				t.Errorf("%s: %+v", addr, m)
			}
		})
	}
}

// TestNotPublic: what the policy does not take for the internet, no name leads to.
func TestNotPublic(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		for i, p := range policy.NotPublic {
			for j, a := range []netip.Addr{p.Masked().Addr(), netipx.PrefixLastIP(p)} {
				w.upstream.set(says(60, a.String()))
				name := fmt.Sprintf("n%d.slack.com", i*2+j)
				if m := w.udp.ask(t, alice, name, dnsmessage.TypeA); m.RCode != dnsmessage.RCodeNameError || len(m.Answers) != 0 {
					t.Errorf("%s: %+v", a, m)
				}
			}
		}
	})
}

func TestResolverThatCannotBeReached(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.upstream.mu.Lock()
		w.upstream.refuse = errors.New("no route")
		w.upstream.mu.Unlock()
		m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
		checkOutcome(t, w, m, filter.Failed, filter.UpstreamFailed, "")
		if code, text := extended(m); code != 22 || !strings.Contains(text, api) {
			t.Errorf("%d %q", code, text)
		}
	})
}

// TestSecondTry: a resolver that answers the second query is good enough.
func TestSecondTry(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		tries := 0
		w.upstream.set(func(network string, q dnsmessage.Message) [][]byte {
			if tries++; tries == 1 {
				return nil
			}
			return says(60, "203.0.113.1")(network, q)
		})
		start := time.Now()
		m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
		checkOutcome(t, w, m, filter.Answered, "", "[203.0.113.1]")
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestQueriesAreBuiltAnew: nothing that a client puts into its query but the name reaches a resolver.
func TestQueriesAreBuiltAnew(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		var seen dnsmessage.Message
		w.upstream.set(func(network string, q dnsmessage.Message) [][]byte {
			seen = q
			return says(60, "203.0.113.1")(network, q)
		})
		m := unpack(t, question(t, "aPi.ExAmPlE.cOm", dnsmessage.TypeA))
		m.ID, m.CheckingDisabled, m.AuthenticData = 0x5ec7, true, true
		_ = m.Additionals[0].Header.SetEDNS0(4096, 0, true)
		m.Additionals[0].Body = &dnsmessage.OPTResource{Options: []dnsmessage.Option{{Code: 65001, Data: []byte("secret")}}}
		msg, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		w.udp.wait(t, w.udp.send(alice, msg))
		if seen.Questions[0].Name.String() != api+"." || seen.ID == 0x5ec7 || seen.CheckingDisabled || seen.AuthenticData {
			t.Errorf("%+v", seen)
		}
		opt := seen.Additionals[0]
		if len(seen.Additionals) != 1 || len(opt.Body.(*dnsmessage.OPTResource).Options) != 0 || opt.Header.Class != 1232 ||
			opt.Header.TTL != 0 {
			t.Errorf("%+v", seen.Additionals)
		}
	})
}
