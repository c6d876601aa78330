package filter_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/mcpnet/mcpnet/internal/router/filter"
)

var errKernel = errors.New("the kernel is full")

// crowd are clients.
func crowd(n int) (clients []netip.Addr) {
	for i := range n {
		clients = append(clients, netip.AddrFrom4([4]byte{172, 20, byte(i>>8 + 1), byte(i)}))
	}
	return clients
}

// TestManyAskAtOnce: resolvers are asked once, mappings are written once, and nobody is answered before the mapping
// stands.
func TestManyAskAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		rule   filter.Rule
		writes int
	}{
		"shared":          {filter.Rule{Shared: true}, 1},
		"for each client": {filter.Rule{}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				w.policy.set(api, test.rule)
				w.kernel.set(50*time.Millisecond, nil)
				var backs []<-chan []byte
				for range 3 {
					for _, client := range crowd(20) {
						backs = append(backs, w.udp.send(client, question(t, api, dnsmessage.TypeA)))
					}
				}
				synctest.Wait()
				for _, back := range backs {
					select {
					case <-back:
						t.Error("an answer before the mapping")
					default:
					}
				}
				for _, back := range backs {
					if m := w.udp.wait(t, back); len(told(m)) != 1 {
						t.Errorf("%+v", m)
					}
				}
				if asked, writes := w.upstream.asked(), w.kernel.written(); asked != 1 || len(writes) != test.writes {
					t.Errorf("%d queries, %d writes: %q", asked, len(writes), writes)
				}
			})
		})
	}
}

// TestOneClientsMappingOpensNothingForAnother: each has its own rule, and the kernel is asked for each.
func TestOneClientsMappingOpensNothingForAnother(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.policy.remove(api)
		w.policy.set(alice.String()+" "+api, filter.Rule{})
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 {
			t.Fatalf("%+v", m)
		}
		if m := w.udp.ask(t, bob, api, dnsmessage.TypeA); m.RCode != dnsmessage.RCodeNameError || len(m.Answers) != 0 {
			t.Errorf("another client got %+v", m)
		}
		mapped := netip.AddrFrom16(alice.As16()) // as sockets of both families tell it
		if m := w.udp.ask(t, mapped, api, dnsmessage.TypeA); len(told(m)) != 1 || len(w.kernel.written()) != 1 {
			t.Errorf("the same client through another socket: %+v, %q", m, w.kernel.written())
		}
		w.policy.set(bob.String()+" "+api, filter.Rule{})
		if m := w.udp.ask(t, bob, api, dnsmessage.TypeA); len(told(m)) != 1 || len(w.kernel.written()) != 2 {
			t.Errorf("%+v, %q", m, w.kernel.written())
		}
	})
}

// TestKernelThatFails: no mapping, no answer.
func TestKernelThatFails(t *testing.T) {
	stalls := func(c *filter.Config) { c.Limits.Bind = time.Second }
	for name, test := range map[string]struct {
		takes time.Duration
		err   error
	}{"refuses": {0, errKernel}, "stalls": {time.Hour, nil}} {
		t.Run(name, func(t *testing.T) {
			run(t, stalls, func(t *testing.T, w *world) {
				w.kernel.set(test.takes, test.err)
				m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
				if m.RCode != dnsmessage.RCodeServerFailure || len(m.Answers) != 0 || w.count(filter.Failed, filter.BindFailed) != 1 {
					t.Errorf("%+v %+v", m, w.events)
				}
				w.kernel.set(0, nil)
				if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 || w.upstream.asked() != 1 {
					t.Errorf("afterwards: %+v, %d queries", m, w.upstream.asked())
				}
			})
		})
	}
}

// TestKernelThatGivesNoAddress: a binder that errs without an error is not believed.
func TestKernelThatGivesNoAddress(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.kernel.given[api] = netip.Addr{}
		m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
		if m.RCode != dnsmessage.RCodeServerFailure || w.count(filter.Failed, filter.BindFailed) != 1 {
			t.Errorf("%+v", m)
		}
	})
}

// TestRefresh: the mapping follows the resolvers in the background, at the pace of their TTL, and clients keep their
// address.
func TestRefresh(t *testing.T) {
	for _, test := range []struct {
		ttl uint32
		in  time.Duration
	}{{0, 5 * time.Second}, {20, 20 * time.Second}, {60, time.Minute}} {
		t.Run(fmt.Sprintf("TTL %d", test.ttl), func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				w.upstream.set(says(test.ttl, "203.0.113.1", "203.0.113.2"))
				before := told(w.udp.ask(t, alice, api, dnsmessage.TypeA))
				w.upstream.set(says(test.ttl, "203.0.113.9"))
				time.Sleep(test.in - 100*time.Millisecond)
				if w.upstream.asked() != 1 {
					t.Error("refreshed too early")
				}
				time.Sleep(1200 * time.Millisecond)
				if to := w.kernel.leadsTo(before[0]); addrsText(to) != "[203.0.113.9]" || w.count(filter.Refreshed, "") != 1 {
					t.Errorf("leads to %v", to)
				}
				if after := told(w.udp.ask(t, alice, api, dnsmessage.TypeA)); !slices.Equal(before, after) {
					t.Errorf("the client's address was %v and is %v", before, after)
				}
			})
		})
	}
}

// TestRefreshOfAnAlias: the alias has the shorter life, though another message said so.
func TestRefreshOfAnAlias(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.upstream.set(func(_ string, q dnsmessage.Message) [][]byte {
			if q.Questions[0].Name.String() == api+"." {
				return [][]byte{reply(q, alias(api+".", 10, "cdn.example."))}
			}
			return [][]byte{reply(q, address("cdn.example.", 600, "203.0.113.1"))}
		})
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		time.Sleep(11500 * time.Millisecond)
		if w.count(filter.Refreshed, "") != 1 {
			t.Errorf("%+v", w.events)
		}
	})
}

// TestRefreshOfTheSame: addresses in another order are no change, so that connections do not move for nothing. Real
// addresses are written each time: the kernel's have an end.
func TestRefreshOfTheSame(t *testing.T) {
	for name, test := range map[string]struct {
		rule   filter.Rule
		writes int
	}{"synthetic": {filter.Rule{}, 1}, "real": {filter.Rule{Real: true}, 2}} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				w.policy.set(api, test.rule)
				w.upstream.set(says(10, "203.0.113.1", "203.0.113.2"))
				m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
				if real := len(told(m)) == 2; real != test.rule.Real {
					t.Errorf("told %v", told(m))
				}
				w.upstream.set(says(10, "203.0.113.2", "203.0.113.1"))
				time.Sleep(12 * time.Second)
				if w.count(filter.Refreshed, "") != 1 || len(w.kernel.written()) != test.writes {
					t.Errorf("%q", w.kernel.written())
				}
			})
		})
	}
}

// TestResolversThatDieLater: the mapping stays for a day, also for clients that come then. Each failure is counted.
func TestResolversThatDieLater(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		w.upstream.set(silent)
		time.Sleep(23 * time.Hour)
		kept := w.count(filter.Kept, filter.UpstreamFailed)
		if kept < 100 || kept > 1500 {
			t.Errorf("%d failures counted in 23 hours", kept)
		}
		for _, client := range []netip.Addr{alice, bob} {
			if m := w.udp.ask(t, client, api, dnsmessage.TypeA); len(told(m)) != 1 {
				t.Errorf("after 23 hours %s got %+v", client, m)
			}
		}
		for w.count(filter.Forgotten, filter.Stale) == 0 {
			time.Sleep(time.Second)
		}
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); m.RCode != dnsmessage.RCodeServerFailure || len(m.Answers) != 0 {
			t.Errorf("after more than a day: %+v", m)
		}
		if forgot := w.kernel.forgotten(); len(forgot) != 2 || w.count(filter.Forgotten, filter.Stale) != 2 {
			t.Errorf("forgot %q", forgot)
		}
		w.upstream.set(says(60, "203.0.113.5"))
		time.Sleep(10 * time.Second)
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 {
			t.Errorf("when resolvers are back: %+v", m)
		}
	})
}

// TestNamesThatEnd: a name that resolvers or the policy no longer know loses its mapping without a question.
func TestNamesThatEnd(t *testing.T) {
	tests := map[string]struct {
		end    func(*world)
		reason filter.Reason
		code   dnsmessage.RCode
	}{
		"it exists no more":    {func(w *world) { w.upstream.set(fails(dnsmessage.RCodeNameError)) }, filter.NoSuchName, 3},
		"it has no address":    {func(w *world) { w.upstream.set(says(60)) }, filter.NoAddress, 0},
		"it becomes private":   {func(w *world) { w.upstream.set(says(60, "10.0.0.1")) }, filter.PrivateAnswer, 3},
		"the policy ends":      {func(w *world) { w.policy.remove(api) }, filter.NotAllowed, 3},
		"it is shared instead": {func(w *world) { w.policy.set(api, filter.Rule{Shared: true}) }, filter.NotAllowed, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				w.udp.ask(t, alice, api, dnsmessage.TypeA)
				test.end(w)
				time.Sleep(61 * time.Second)
				if w.count(filter.Forgotten, test.reason) != 1 || !slices.Equal(w.kernel.forgotten(), []string{alice.String() + " " + api}) {
					t.Errorf("forgot %q: %+v", w.kernel.forgotten(), w.events)
				}
				if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); m.RCode != test.code {
					t.Errorf("afterwards: %+v", m)
				}
			})
		})
	}
}

// TestSharedMappingOutlivesItsFirstClient: it ends when it stands for nobody any more.
func TestSharedMappingOutlivesItsFirstClient(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.policy.remove(api)
		for _, who := range []string{alice.String(), bob.String(), "invalid IP"} {
			w.policy.set(who+" "+api, filter.Rule{Shared: true})
		}
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		w.policy.remove(alice.String() + " " + api)
		w.upstream.set(says(60, "203.0.113.9"))
		time.Sleep(62 * time.Second)
		m := w.udp.ask(t, bob, api, dnsmessage.TypeA)
		if len(told(m)) != 1 || addrsText(w.kernel.leadsTo(told(m)[0])) != "[203.0.113.9]" || len(w.kernel.written()) != 2 {
			t.Errorf("%+v %q", m, w.kernel.written())
		}
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); m.RCode != dnsmessage.RCodeNameError {
			t.Errorf("who may ask no more got %+v", m)
		}
		w.policy.remove("invalid IP " + api)
		time.Sleep(62 * time.Second)
		if !slices.Equal(w.kernel.forgotten(), []string{"invalid IP " + api}) {
			t.Errorf("forgot %q", w.kernel.forgotten())
		}
	})
}

// TestGenerations: an answer never tells a mapping that another policy made.
func TestGenerations(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		w.policy.set(api, filter.Rule{Generation: 2})
		w.kernel.set(0, errKernel)
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(m.Answers) != 0 {
			t.Errorf("the old mapping was told: %+v", m)
		}
		w.kernel.set(0, nil)
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 || len(w.kernel.written()) != 3 {
			t.Errorf("%+v %q", m, w.kernel.written())
		}
		w.policy.set(api, filter.Rule{Generation: 3})
		time.Sleep(62 * time.Second)
		if len(w.kernel.written()) != 4 {
			t.Errorf("a refresh wrote nothing: %q", w.kernel.written())
		}
		w.policy.set(api, filter.Rule{Generation: 3, Real: true})
		if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); addrsText(told(m)) != "[203.0.113.1]" {
			t.Errorf("the synthetic address was told for the real one: %+v", m)
		}
	})
}

// TestQuestionWhileTheNameLeaves: a mapping is never kept where no refresh finds it.
func TestQuestionWhileTheNameLeaves(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		hold := make(chan struct{})
		w.policy.mu.Lock()
		delete(w.policy.rules, api)
		w.policy.rules[bob.String()+" "+api] = filter.Rule{}
		w.policy.hold = hold
		w.policy.mu.Unlock()
		time.Sleep(62 * time.Second) // The refresh looks whether the policy ended, and waits.
		back := w.udp.send(bob, question(t, api, dnsmessage.TypeA))
		synctest.Wait()
		close(hold)
		synthetic := told(w.udp.wait(t, back))
		w.upstream.set(says(60, "203.0.113.9"))
		time.Sleep(62 * time.Second)
		if to := w.kernel.leadsTo(synthetic[0]); addrsText(to) != "[203.0.113.9]" || len(w.kernel.forgotten()) != 1 {
			t.Errorf("leads to %v, forgot %q", to, w.kernel.forgotten())
		}
	})
}

// TestRefreshAmongQuestions: names that wait for their first answer take no refresh from others.
func TestRefreshAmongQuestions(t *testing.T) {
	run(t, func(c *filter.Config) { c.Limits.Refresh = 1 }, func(t *testing.T, w *world) {
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		w.upstream.set(func(network string, q dnsmessage.Message) [][]byte {
			if q.Questions[0].Name.String() != api+"." {
				return nil
			}
			return says(60, "203.0.113.9")(network, q)
		})
		time.Sleep(58500 * time.Millisecond)
		for i := range 20 {
			w.udp.send(alice, question(t, fmt.Sprintf("x%d.slack.com", i), dnsmessage.TypeA))
		}
		time.Sleep(2700 * time.Millisecond)
		if w.count(filter.Refreshed, "") != 1 {
			t.Errorf("%+v", w.events)
		}
	})
}

// TestBindThatFailsAtRefresh: the old mapping stands, and it is tried again.
func TestBindThatFailsAtRefresh(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		synthetic := told(w.udp.ask(t, alice, api, dnsmessage.TypeA))
		w.upstream.set(says(60, "203.0.113.9"))
		w.kernel.set(0, errKernel)
		time.Sleep(62 * time.Second)
		m := w.udp.ask(t, alice, api, dnsmessage.TypeA)
		if !slices.Equal(told(m), synthetic) || w.count(filter.Kept, filter.BindFailed) == 0 {
			t.Errorf("%+v %+v", m, w.events)
		}
		w.kernel.set(0, nil)
		time.Sleep(10 * time.Second)
		if to := w.kernel.leadsTo(synthetic[0]); addrsText(to) != "[203.0.113.9]" {
			t.Errorf("leads to %v", to)
		}
	})
}

// TestNoAnswerWaitsForARefresh: while resolvers stall, what stands is told at once, to new clients, too.
func TestNoAnswerWaitsForARefresh(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		w.upstream.set(silent)
		time.Sleep(62 * time.Second)
		start := time.Now()
		for _, client := range []netip.Addr{alice, bob} {
			if m := w.udp.ask(t, client, api, dnsmessage.TypeA); len(told(m)) != 1 || time.Since(start) != 0 {
				t.Errorf("after %s: %+v", time.Since(start), m)
			}
		}
	})
}

// TestWhatIsRememberedShortly: that there is no address, and that resolvers failed.
func TestWhatIsRememberedShortly(t *testing.T) {
	for name, test := range map[string]struct {
		says  resolverFunc
		lasts time.Duration
	}{
		"no such name": {fails(dnsmessage.RCodeNameError), 5 * time.Second},
		"no address":   {says(60), 5 * time.Second},
		"private":      {says(60, "10.0.0.1"), 5 * time.Second},
		"a failure":    {fails(dnsmessage.RCodeServerFailure), 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, w *world) {
				w.upstream.set(test.says)
				w.udp.ask(t, alice, api, dnsmessage.TypeA)
				asked := w.upstream.asked()
				w.upstream.set(says(60, "203.0.113.1"))
				time.Sleep(test.lasts - 100*time.Millisecond)
				if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(m.Answers) != 0 || w.upstream.asked() != asked {
					t.Errorf("not remembered: %+v", m)
				}
				time.Sleep(1200 * time.Millisecond)
				if m := w.udp.ask(t, alice, api, dnsmessage.TypeA); len(told(m)) != 1 {
					t.Errorf("remembered too long: %+v", m)
				}
			})
		})
	}
}

// TestQuietNames: a name that nobody asks for is refreshed seldom, and soon after a question.
func TestQuietNames(t *testing.T) {
	run(t, nil, func(t *testing.T, w *world) {
		w.upstream.set(says(5, "203.0.113.1"))
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		time.Sleep(6 * time.Minute)
		before := w.upstream.asked()
		time.Sleep(time.Hour)
		if n := w.upstream.asked() - before; n < 10 || n > 13 {
			t.Errorf("%d queries in a quiet hour", n)
		}
		before = w.upstream.asked()
		time.Sleep(10 * time.Second)
		w.udp.ask(t, alice, api, dnsmessage.TypeA)
		time.Sleep(1200 * time.Millisecond)
		if w.upstream.asked() == before {
			t.Error("a question did not end the quiet")
		}
	})
}
