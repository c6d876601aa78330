package cni

import (
	"context"

	"github.com/mcpnet/mcpnet/internal/testcni"
)

// orderRows: each verb more than once, and in orders that runtimes happen to produce.
func orderRows() []row {
	return []row{
		{name: "ADD twice", run: addTwice},
		{name: "DEL thrice", run: delThrice},
		{name: "DEL before ADD", run: delBeforeAdd},
		{name: "DEL without a namespace path", run: delWithoutNetns},
		{name: "DEL when the namespace is gone", run: delNetnsGone},
		{name: "DEL without libcni's cache", run: delWithoutCache},
		{name: "DEL after the configuration changed", run: delAfterChange},
		{name: "DEL after the configuration broke", only: hasPolicy, run: delAfterBreak},
		{name: "DEL of the first of two", run: delFirstFirst},
		{name: "DEL of the gateway before its servers", run: delGatewayFirst},
		{name: "ADD after a failed ADD", run: addAfterFailed},
		{name: "ADD after a failed ADD without DEL", only: func(s subject) bool { return s.undoes }, run: addAfterFailedAtOnce},
		{name: "a failed ADD is undone by its DEL", run: failedAddIsUndone},
		{name: "the policy changes under living containers", only: hasPolicy, run: changeUnderLiving},
		{name: "the subnet changes under living containers", only: isMain, run: moveUnderLiving},
	}
}

// addTwice: the second is an error, and breaks nothing of the first.
func addTwice(l *lab) {
	gateway, server := l.gateway(), l.server()
	for _, m := range []member{gateway, server} {
		before := l.state()
		_, err := l.tryAdd(l.net, m.call)
		l.want(err != nil, "the second ADD of %s: accepted", m.id)
		after := l.state()
		for object := range before {
			l.want(after[object], "the second ADD of %s took away: %s", m.id, object)
		}
		for object := range after {
			l.want(before[object], "the second ADD of %s left: %s", m.id, object)
		}
		l.succeeds(l.check(m), "CHECK of the first attachment of %s", m.id)
	}
	l.succeeds(l.reaches(server, gateway), "traffic of the first attachments")
	other := l.server()
	l.want(other.ip != server.ip && other.ip != gateway.ip, "address %s was given away twice", other.ip)
}

func delThrice(l *lab) {
	gateway, server := l.gateway(), l.server()
	for range 3 {
		l.del(server)
		l.want(len(l.linksOf(server.container)) == 0, "the container still has %v", l.linksOf(server.container))
	}
	l.succeeds(l.check(gateway), "CHECK of the other")
	for range 3 {
		l.del(gateway)
	}
	l.nothingLeft("after DEL")
}

func delBeforeAdd(l *lab) {
	c := l.container()
	l.succeeds(l.tryDel(l.net, c.call()), "DEL on a network that is not there")
	gateway := l.gateway()
	l.succeeds(l.tryDel(l.net, c.call()), "DEL of a container that was never attached")
	server := l.add(l.net, c, c.call())
	l.succeeds(l.reaches(server, gateway), "traffic")
}

// delWithoutNetns: as much as possible goes; the address in any case.
func delWithoutNetns(l *lab) {
	gateway, server := l.gateway(), l.server()
	blind := server.call
	blind.NetNS = ""
	l.succeeds(l.tryDel(l.net, blind), "DEL with an empty CNI_NETNS")
	l.want(!l.state()["address "+server.ip.String()], "address %s is still taken", server.ip)
	l.want(l.cutOff(server, gateway) || !l.s.survives, "the container still reaches the gateway")
	links := l.linksOf(server.container)
	l.want(len(links) == 0 || !l.s.survives, "the container still has %v", links)
	server.life.end()
	l.succeeds(l.tryDel(l.net, blind), "DEL again, when the container has ended")
	l.del(gateway)
	l.nothingLeft("after DEL")
}

func delNetnsGone(l *lab) {
	gateway, server, early := l.gateway(), l.server(), l.server()
	early.life.end()
	l.del(early)
	l.del(early)
	l.succeeds(l.reaches(server, gateway), "traffic of the others")
	// The same path may belong to a file that is no namespace, when the kernel let go of it before the runtime did.
	server.life.end()
	gateway.life.end()
	l.del(server)
	l.del(gateway)
	l.nothingLeft("after DEL")
}

// delWithoutCache: no prevResult.
func delWithoutCache(l *lab) {
	gateway, server := l.gateway(), l.server()
	l.forget()
	l.del(server)
	l.want(len(l.linksOf(server.container)) == 0, "the container still has %v", l.linksOf(server.container))
	l.del(gateway)
	l.nothingLeft("after DEL")
}

// delAfterChange: another subnet, another MTU, another policy.
func delAfterChange(l *lab) {
	server, gateway := l.server(), l.gateway()
	changes := []change{setIPAM(ranges(entry{"subnet": "172.31.0.0/16", "gateway": "172.31.0.1"}), "ranges")}
	if l.s.policy {
		changes = append(changes, set("172.31.0.9:9", "policy", "gateway"), set("audit", "policy", "mode"))
	}
	if !l.s.chained {
		changes = append(changes, set(1300, "mtu"))
	}
	n := l.network(changes...)
	for _, m := range []member{server, gateway} {
		l.succeeds(l.tryDel(n, m.call), "DEL with another configuration")
		l.want(len(l.linksOf(m.container)) == 0, "the container still has %v", l.linksOf(m.container))
	}
	l.nothingLeft("after DEL")
}

// delAfterBreak: DEL needs no valid policy, or a person's slip would keep containers from ending.
func delAfterBreak(l *lab) {
	server, gateway := l.server(), l.gateway()
	n := l.network(set("x", "policy", "gatewya"), set(7, "unheard-of"), set("not a number", "mtu"))
	for _, m := range []member{server, gateway} {
		l.succeeds(l.tryDel(n, m.call), "DEL with a broken configuration")
	}
	l.nothingLeft("after DEL")
}

func delFirstFirst(l *lab) {
	gateway, first, second := l.gateway(), l.server(), l.server()
	l.del(first)
	l.succeeds(l.reaches(second, gateway), "traffic of the second")
	l.succeeds(l.check(second), "CHECK of the second")
	third := l.server()
	l.succeeds(l.reaches(third, gateway), "traffic of a third")
	l.want(third.ip != second.ip, "address %s was given away twice", third.ip)
}

func delGatewayFirst(l *lab) {
	gateway, server := l.gateway(), l.server()
	gateway.life.end()
	l.del(gateway)
	l.want(l.cutOff(server, gateway), "a gateway that is gone is reached")
	next := l.gateway()
	l.succeeds(l.reaches(server, next), "traffic to the next gateway")
}

// outside is an address that no network of the table has.
func outside(c testcni.Call) testcni.Call { return withIP(c, "10.99.99.99") }

func addAfterFailed(l *lab) {
	c := l.container()
	_, err := l.tryAdd(l.net, outside(c.call()))
	l.want(err != nil, "an address outside the subnet: accepted")
	l.succeeds(l.tryDel(l.net, outside(c.call())), "DEL after the failed ADD")
	if _, err := l.tryAdd(l.net, c.call()); err != nil {
		l.fault("ADD after a failed one: %v", err)
		l.succeeds(l.tryDel(l.net, c.call()), "DEL")
		return
	}
	l.succeeds(l.net.Status(context.Background()), "STATUS")
}

func addAfterFailedAtOnce(l *lab) {
	c := l.container()
	_, err := l.tryAdd(l.net, outside(c.call()))
	l.want(err != nil, "an address outside the subnet: accepted")
	l.nothingLeft("after the failed ADD")
	server, gateway := l.add(l.net, c, c.call()), l.gateway()
	l.succeeds(l.reaches(server, gateway), "traffic")
}

// failedAddIsUndone: the runtime sends DEL after an ADD that failed.
func failedAddIsUndone(l *lab) {
	c := l.container()
	_, err := l.tryAdd(l.net, outside(c.call()))
	l.want(err != nil, "an address outside the subnet: accepted")
	l.succeeds(l.tryDel(l.net, outside(c.call())), "DEL after the failed ADD")
	l.nothingLeft("after the failed ADD and its DEL")
	l.want(len(l.linksOf(c)) == 0, "the container has %v", l.linksOf(c))
}

// changeUnderLiving: a new policy holds for those that live when the next container comes.
func changeUnderLiving(l *lab) {
	gateway, server := l.gateway(), l.server()
	n := l.network(set(gatewayAddr+":9", "policy", "gateway"))
	late := l.container()
	second := l.add(n, late, late.call())
	for _, m := range []member{server, second} {
		l.want(l.cutOff(m, gateway), "%s reaches a port that the new policy closed", m.id)
	}
	third := l.container()
	last := l.add(l.net, third, third.call())
	for _, m := range []member{server, second, last} {
		l.succeeds(l.reaches(m, gateway), "traffic of %s under the old policy again", m.id)
	}
}

// moveUnderLiving: what cannot change is refused, and those that live go on.
func moveUnderLiving(l *lab) {
	gateway, server := l.gateway(), l.server()
	n := l.network(setIPAM(ranges(entry{"subnet": "172.31.0.0/16", "gateway": "172.31.0.1"}), "ranges"), set("172.31.0.9:9", "policy", "gateway"))
	c := l.container()
	_, err := l.tryAdd(n, c.call())
	l.refused(err, 7, "ADD with another subnet", networkName, "172.31.0.0/16")
	l.succeeds(l.tryDel(n, c.call()), "DEL of the refused one")
	l.succeeds(l.reaches(server, gateway), "traffic of those that live")
	l.succeeds(l.check(server), "CHECK of those that live")
}
