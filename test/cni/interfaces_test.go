package cni

import "github.com/mcpnet/mcpnet/internal/testnet"

// interfaceRows: names of interfaces in the container.
func interfaceRows() []row {
	return []row{
		{name: "two interfaces of a container on one network", run: twoInterfaces},
		{name: "an interface of that name exists", run: nameExists},
		{name: "DEL leaves an interface of that name which it did not make", run: delForeign},
		{name: "an unusual name", run: unusualName},
	}
}

// twoInterfaces: an attachment is a container and an interface, and each is taken off alone.
func twoInterfaces(l *lab) {
	gateway := l.gateway()
	c := l.container()
	call := c.call()
	first := l.add(l.net, c, call)
	call.IfName = "net1"
	result, err := l.tryAdd(l.net, call)
	if err != nil {
		l.fault("ADD of the second interface: %v", err)
		l.succeeds(l.tryDel(l.net, call), "DEL of the second interface")
		return
	}
	ip, err := addressOf(result)
	l.succeeds(err, "ADD of the second interface")
	second := member{c, call, ip, result}
	l.want(first.ip != second.ip, "both interfaces have address %s", first.ip)
	l.succeeds(l.reaches(first, gateway), "traffic over both")
	for _, m := range []member{first, second} {
		l.succeeds(l.check(m), "CHECK of %s", m.call.IfName)
	}
	l.del(first)
	l.succeeds(l.reaches(second, gateway), "traffic when the first is gone")
	l.succeeds(l.check(second), "CHECK of the second when the first is gone")
}

// foreign makes an interface that is nobody's, and gives its index.
func foreign(ns *testnet.NS, name string, addrs ...string) int {
	ns.AddBridge(name, addrs...) // every kernel with containers has bridges
	return ns.Link(name).Attrs().Index
}

func nameExists(l *lab) {
	c := l.container()
	index := foreign(c.NS, "eth0")
	_, err := l.tryAdd(l.net, c.call())
	l.want(err != nil, "ADD: accepted")
	link, err := c.Handle().LinkByName("eth0")
	l.want(err == nil && link.Attrs().Index == index, "the interface that was there is not any more: %v", err)
	l.nothingLeft("after the refused ADD")
}

func delForeign(l *lab) {
	c := l.container()
	foreign(c.NS, "eth0")
	_, err := l.tryAdd(l.net, c.call())
	l.want(err != nil, "ADD: accepted")
	l.succeeds(l.tryDel(l.net, c.call()), "DEL")
	_, err = c.Handle().LinkByName("eth0")
	l.succeeds(err, "the interface that was there")
}

func unusualName(l *lab) {
	gateway := l.gateway()
	c := l.container()
	call := c.call()
	call.IfName = "mcp-net_0.15chr"
	m := l.add(l.net, c, call)
	l.succeeds(l.reaches(m, gateway), "traffic")
	l.succeeds(l.check(m), "CHECK")
}
