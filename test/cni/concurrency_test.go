package cni

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/mcpnet/mcpnet/internal/testcni"
)

// crowd is how many containers start or end at once. The reference plugins take their time, and are not what is
// measured.
func (l *lab) crowd() int {
	if isMain(l.s) {
		return 50
	}
	return 20
}

func concurrencyRows() []row {
	return []row{
		{name: "a crowd at once on a network that is not there yet", run: storm},
		{name: "ADD, DEL, CHECK and STATUS of many at once", run: medley},
		{name: "the same ADD from two at once", run: sameAtOnce},
		{name: "the same DEL from five at once", run: sameDelAtOnce},
		{name: "the last leaves while the next comes", run: lastAndNext},
	}
}

// together runs f for each and waits.
func together[T any](of []T, f func(T)) {
	var all sync.WaitGroup
	for _, one := range of {
		all.Go(func() { f(one) })
	}
	all.Wait()
}

// joined are attachments that came about at once.
type joined struct {
	sync.Mutex
	members []member
	slowest time.Duration
}

func (j *joined) add(l *lab, c *container) {
	began := time.Now()
	result, err := l.tryAdd(l.net, c.call())
	took := time.Since(began)
	if err != nil {
		l.fault("ADD of %s among many: %v", c.id, err)
		return
	}
	ip, err := addressOf(result)
	l.succeeds(err, "ADD of %s among many", c.id)
	j.Lock()
	defer j.Unlock()
	j.members, j.slowest = append(j.members, member{c, c.call(), ip, result}), max(j.slowest, took)
}

func (l *lab) many(n int) []*container {
	l.t.Helper()
	var out []*container
	for range n {
		out = append(out, l.container())
	}
	return out
}

// storm: many come to a network that is not there, they go while as many others come, and those go.
func storm(l *lab) {
	first, second := l.many(l.crowd()), l.many(l.crowd())
	var a, b joined
	together(first, func(c *container) { a.add(l, c) })
	l.distinct(a.members)
	gateway := l.gateway()
	for _, m := range []int{0, len(a.members) / 2, len(a.members) - 1} {
		if m >= 0 && m < len(a.members) {
			l.succeeds(l.reaches(a.members[m], gateway), "traffic of one of many")
		}
	}
	var both sync.WaitGroup
	both.Go(func() { together(a.members, l.del) })
	both.Go(func() { together(second, func(c *container) { b.add(l, c) }) })
	both.Wait()
	l.distinct(b.members)
	for _, m := range b.members[:min(3, len(b.members))] {
		l.succeeds(l.reaches(m, gateway), "traffic of one that came while others went")
		l.succeeds(l.check(m), "CHECK of one that came while others went")
	}
	for _, m := range a.members {
		l.want(len(l.linksOf(m.container)) == 0, "%s still has %v", m.id, l.linksOf(m.container))
	}
	l.del(gateway)
	together(b.members, l.del)
	l.t.Logf("slowest ADD of %d: %v on a new network, %v beside as many DEL", l.crowd(), a.slowest, b.slowest)
}

// distinct is a fault for each address that two have.
func (l *lab) distinct(members []member) {
	have := map[netip.Addr]string{}
	for _, m := range members {
		l.want(have[m.ip] == "", "address %s was given to %s and %s", m.ip, have[m.ip], m.id)
		have[m.ip] = m.id
	}
}

// medley: each container lives through everything, beside the others.
func medley(l *lab) {
	gateway := l.gateway()
	together(l.many(l.crowd()/6), func(c *container) {
		for range 2 {
			result, err := l.tryAdd(l.net, c.call())
			if err != nil {
				l.fault("ADD of %s: %v", c.id, err)
				return
			}
			ip, err := addressOf(result)
			l.succeeds(err, "ADD")
			m := member{c, c.call(), ip, result}
			l.succeeds(l.check(m), "CHECK of %s", c.id)
			l.succeeds(l.net.Status(context.Background()), "STATUS")
			l.succeeds(l.reaches(m, gateway), "traffic of %s", c.id)
			l.del(m)
		}
	})
	l.succeeds(l.check(gateway), "CHECK of the gateway")
}

// sameAtOnce: runtimes must not do that. One that does gets at most one attachment, and rid of everything with DEL.
func sameAtOnce(l *lab) {
	gateway := l.gateway()
	for range 3 {
		c := l.container()
		var winners joined
		together([]int{1, 2}, func(int) {
			if result, err := l.net.Add(context.Background(), c.call()); err == nil {
				winners.Lock()
				winners.members = append(winners.members, member{c, c.call(), addressIn(l, result), result})
				winners.Unlock()
			}
		})
		won := len(winners.members)
		l.want(won == 1 || won == 0 && !isMain(l.s), "of two ADDs of one attachment at once %d succeeded", won)
		for _, m := range winners.members {
			l.succeeds(l.reaches(m, gateway), "traffic of the one that won")
		}
		l.succeeds(l.tryDel(l.net, c.call()), "DEL")
		l.want(len(l.linksOf(c)) == 0, "the container still has %v", l.linksOf(c))
		l.want(len(l.surplus()) == 0, "left: %v", l.surplus())
	}
}

func sameDelAtOnce(l *lab) {
	gateway, server := l.gateway(), l.server()
	together([]testcni.Call{server.call, server.call, server.call, server.call, server.call}, func(c testcni.Call) {
		l.succeeds(l.tryDel(l.net, c), "one of five DELs of one attachment at once")
	})
	l.succeeds(l.check(gateway), "CHECK of the gateway")
}

// lastAndNext: the network goes with its last container, while the next makes it.
func lastAndNext(l *lab) {
	leaving := l.server()
	for range 4 {
		next := l.container()
		var j joined
		together([]func(){func() { l.del(leaving) }, func() { j.add(l, next) }}, func(f func()) { f() })
		if len(j.members) != 1 {
			return
		}
		leaving = j.members[0]
		l.succeeds(l.check(leaving), "CHECK of the one that came")
	}
}
