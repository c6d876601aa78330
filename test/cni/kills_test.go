package cni

import (
	"context"
	"math/rand/v2"
	"path"
	"strings"
	"time"
)

// kills is how many calls are killed in a row of the table. The reference plugins take their time, and are not what
// is asked about.
func (l *lab) kills() int {
	if isMain(l.s) {
		return 24
	}
	return 8
}

func killRows() []row {
	return []row{
		{name: "kill -9 in the middle of the first ADD", run: func(l *lab) { l.killed(func() {}) }},
		{name: "kill -9 in the middle of an ADD beside others", run: func(l *lab) {
			gateway, server := l.gateway(), l.server()
			l.killed(func() {
				l.succeeds(l.reaches(server, gateway), "traffic of those that live")
			})
			l.succeeds(l.check(server), "CHECK of one that lives")
		}},
		{name: "kill -9 in the middle of a DEL", run: killedDel},
	}
}

// killed ends plugins at random moments of an ADD. The DEL that follows removes everything, and the next ADD works.
func (l *lab) killed(beside func()) {
	c := l.container()
	whole := l.timeOfAdd(c)
	before, hit := l.state(), 0
	for i := range l.kills() {
		if l.dies(&whole, func(ctx context.Context) error { _, err := l.net.Add(ctx, c.call()); return err }) {
			hit++
		}
		l.succeeds(l.tryDel(l.net, c.call()), "DEL after a killed ADD")
		l.sameAs(before, "after a killed ADD and its DEL")
		if i%6 == 0 {
			l.works(c)
			beside()
		}
	}
	l.works(c)
	if hit < l.kills()/4 {
		l.t.Fatalf("%d of %d ADDs were killed in their middle (an ADD takes %v): this row tests nothing", hit, l.kills(), whole)
	}
}

// works is a fault unless the container can be attached and detached.
func (l *lab) works(c *container) {
	result, err := l.tryAdd(l.net, c.call())
	if err != nil {
		l.fault("ADD after a killed one: %v", err)
		return
	}
	ip, err := addressOf(result)
	l.succeeds(err, "ADD after a killed one")
	l.succeeds(l.check(member{c, c.call(), ip, result}), "CHECK after a killed one")
	l.succeeds(l.tryDel(l.net, c.call()), "DEL")
}

// killedDel: the runtime repeats a DEL that did not end.
func killedDel(l *lab) {
	c := l.container()
	before, hit := l.state(), 0
	m := l.add(l.net, c, c.call())
	began := time.Now()
	l.del(m)
	whole := time.Since(began)
	for range l.kills() {
		m := l.add(l.net, c, c.call())
		if l.dies(&whole, func(ctx context.Context) error { return l.net.Del(ctx, m.call) }) {
			hit++
		}
		l.succeeds(l.tryDel(l.net, m.call), "DEL after a killed one")
		l.sameAs(before, "after a killed DEL and another")
	}
	if hit < l.kills()/4 {
		l.t.Fatalf("%d of %d DELs were killed in their middle (a DEL takes %v): this row tests nothing", hit, l.kills(), whole)
	}
}

// timeOfAdd is how long an ADD takes here and now.
func (l *lab) timeOfAdd(c *container) time.Duration {
	began := time.Now()
	l.add(l.net, c, c.call())
	took := time.Since(began)
	l.succeeds(l.tryDel(l.net, c.call()), "DEL")
	return took
}

// dies runs a call that is killed at some moment before it would end, and reports whether that was in its middle. A
// call that ended first tells how long one takes now.
func (l *lab) dies(whole *time.Duration, f func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.Int64N(int64(*whole))))
	defer cancel()
	began := time.Now()
	err := f(ctx)
	if err == nil {
		*whole = time.Since(began)
	}
	return err != nil && ctx.Err() != nil
}

// isTemporary tells of a file that a killed process was about to give the name of a document. Nobody reads it, and it
// goes with its network: at the end of a row it is left.
func isTemporary(object string) bool {
	return strings.HasPrefix(object, "document ") && strings.HasPrefix(path.Base(object), ".")
}

// sameAs is a fault for each object that is there now and was not before, or the other way round.
func (l *lab) sameAs(before state, when string) {
	l.t.Helper()
	l.same(before, l.state(), when)
}

func (l *lab) same(before, now state, when string) {
	for _, link := range l.s.keeps {
		delete(now, "link "+link)
		delete(before, "link "+link)
	}
	for object := range now {
		l.want(before[object] || isTemporary(object), "%s: left: %s", when, object)
	}
	for object := range before {
		l.want(now[object], "%s: gone: %s", when, object)
	}
}
