package cni

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// spaceRows: each network has a network namespace of its own, and little on the host.
func spaceRows() []row {
	return []row{
		{name: "the host holds an uplink and nothing else of a network", only: hasPolicy, run: littleOnHost},
		{name: "a network without egress has nothing on the host", only: isMain, run: nothingOnHost},
		{name: "a network's namespace goes with the last container", only: hasPolicy, run: spaceGoes},
		{name: "the host's firewall is flushed", only: hasPolicy, run: hostFlushed},
		{name: "the namespace's firewall is flushed", only: hasPolicy, run: spaceFlushed},
		{name: "the pin goes, and with it the namespace", only: hasPolicy, run: pinGoes},
		{name: "the host is restarted", only: hasPolicy, run: restarted},
		{name: "a namespace of others has the bridge's name", only: isMain, run: spaceOfOthers},
		{name: "a pin that was left without a namespace", only: hasPolicy, run: emptyPin},
		{name: "chain: DEL of the plugin alone gives the host end back, down", only: isChained, run: givenBack},
	}
}

// onHost names the host's links but its loopback.
func (l *lab) onHost() (names []string) {
	l.t.Helper()
	links, err := l.NS.Links()
	if err != nil {
		l.t.Fatalf("links: %v", err)
	}
	for _, link := range links {
		if name := link.Attrs().Name; name != "lo" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// littleOnHost: in a chain the uplink has a name of its own, since the bridge of the plugin before has the network's.
func littleOnHost(l *lab) {
	l.gateway()
	l.server()
	links := l.onHost()
	switch {
	case !l.s.chained:
		l.want(slices.Equal(links, []string{l.s.bridge}), "links of the host: %v", links)
	case len(links) != 2 || links[0] != l.s.bridge || !strings.HasPrefix(links[1], "mcpu"):
		l.fault("links of the host: %v", links)
	}
	l.want(slices.Equal(l.pinned(), []string{l.s.bridge}), "namespaces: %v", l.pinned())
	for object := range l.state() {
		l.want(!strings.HasPrefix(object, "nftables 5 "), "the host has netdev rules: %s", object)
	}
}

func nothingOnHost(l *lab) {
	n := l.network(set("off", "policy", "gateway.egress"))
	c, d := l.container(), l.container()
	gateway, server := l.add(n, c, withIP(c.call(), gatewayAddr)), l.add(n, d, d.call())
	l.listen(gateway)
	l.want(len(l.onHost()) == 0, "links of the host: %v", l.onHost())
	l.succeeds(l.reaches(server, gateway), "traffic")
	for _, m := range []member{gateway, server} {
		l.agrees(m)
		l.succeeds(l.check(m), "CHECK of %s", m.id)
	}
}

// spaceGoes: the inode tells a namespace that is gone from one that only lost its name.
func spaceGoes(l *lab) {
	gateway, server := l.gateway(), l.server()
	l.del(gateway)
	l.want(len(l.pinned()) == 1, "the namespace went before the last container: %v", l.pinned())
	l.del(server)
	l.want(len(l.pinned()) == 0, "namespaces: %v", l.pinned())
	l.nothingLeft("after the last DEL")
}

// hostFlushed: no rule on the host holds anything that keeps servers in, or lets them through.
func hostFlushed(l *lab) {
	gateway, server := l.gateway(), l.server()
	l.succeeds(l.reaches(server, gateway), "traffic at first") // the kernel may take a second to start a link that came up
	before := l.denials(server)
	l.NS.Run("nft", "flush", "ruleset")
	for _, table := range []string{"filter", "nat"} {
		_, _ = l.NS.Output("iptables", "-w", "-t", table, "-F")
	}
	l.succeeds(l.reaches(server, gateway), "traffic when the host's firewall is flushed")
	l.want(slices.Equal(l.denials(server), before), "denied before: %v, then: %v", before, l.denials(server))
	l.succeeds(l.check(server), "CHECK of a server")
	l.server() // the next attachment needs none of it either
	l.succeeds(l.reaches(server, gateway), "traffic after the next ADD")
}

// denials are what becomes of a server's connections that are to fail.
func (l *lab) denials(server member) (got []string) {
	control := leak.NewControl(l.t)
	for _, to := range []string{gatewayAddr + ":9", bridgeAddr + ":22", "172.20.0.77:22", "203.0.113.10:443"} {
		got = append(got, to+" "+answer(server, to, control))
	}
	return got
}

// spaceFlushed: without rules wires lead nowhere, until the next attachment puts them back.
func spaceFlushed(l *lab) {
	gateway, server := l.gateway(), l.server()
	l.atWires(func(ns *testnet.NS) { ns.Run("nft", "flush", "ruleset") })
	l.want(l.cutOff(server, gateway), "a server without rules reaches the gateway")
	late := l.server()
	for _, m := range []member{late, server} {
		l.succeeds(l.reaches(m, gateway), "traffic of %s after the next ADD", m.id)
		l.succeeds(l.check(m), "CHECK of %s after the next ADD", m.id)
	}
}

// pinGoes: somebody runs `ip netns delete` on it. Wires die with the namespace, and the next ADD makes another one.
func pinGoes(l *lab) {
	gateway, server := l.gateway(), l.server()
	l.unpin()
	l.until("wires go with their namespace", func() bool { return len(l.linksOf(server.container)) == 0 })
	l.want(l.check(server) != nil, "CHECK finds nothing")
	l.afterLoss(gateway, server)
}

func (l *lab) unpin() {
	l.t.Helper()
	for _, name := range l.pinned() {
		if err := ns.HostPins(l.Pins).Remove(name, nil); err != nil {
			l.t.Fatalf("%v", err)
		}
	}
}

// restarted: documents and addresses are on disk, everything else is gone. Runtimes send DEL for what they remember
// when they come up, or later.
func restarted(l *lab) {
	gateway, server := l.gateway(), l.server()
	for _, m := range []member{gateway, server} {
		m.life.end()
	}
	l.unpin()
	l.NS.Run("nft", "flush", "ruleset")
	for _, link := range l.onHost() {
		_, _ = l.NS.Output("ip", "link", "delete", link) // the uplink goes by itself, a little later
	}
	l.afterLoss(gateway, server)
}

// afterLoss attaches others, and looks for what is left of those whose network is gone.
func (l *lab) afterLoss(gateway, server member) {
	next := l.server()
	endpoints := slices.DeleteFunc(slices.Collect(maps.Keys(l.state())), func(object string) bool {
		return !strings.HasPrefix(object, "document ") || !strings.Contains(object, "/endpoints/")
	})
	l.want(len(endpoints) == 1, "endpoints of which one lives: %v", endpoints)
	l.del(gateway) // its address is taken until its runtime says so
	c := l.container()
	another := l.add(l.net, c, withIP(c.call(), gatewayAddr))
	l.listen(another)
	l.succeeds(l.reaches(next, another), "traffic of the next")
	for _, m := range []member{another, next} {
		l.succeeds(l.check(m), "CHECK of the next")
	}
	l.del(server)
}

func spaceOfOthers(l *lab) {
	if err := ns.HostPins(l.Pins).Create(l.s.bridge, func(ns.Handle) error { return nil }); err != nil {
		l.t.Fatalf("%v", err)
	}
	before := l.state()
	c := l.container()
	_, err := l.tryAdd(l.net, c.call())
	l.refused(err, badConf, "ADD", networkName, "network namespace", filepath.Join(l.Pins, l.s.bridge))
	l.succeeds(l.tryDel(l.net, c.call()), "DEL of the refused one")
	l.sameAs(before, "after the refused ADD and its DEL")
	l.unpin()
}

// emptyPin: a process that was killed leaves the file that it was about to mount a namespace on.
func emptyPin(l *lab) {
	path := filepath.Join(l.Pins, l.s.bridge)
	l.NS.Run("touch", path)
	gateway, server := l.gateway(), l.server()
	l.succeeds(l.reaches(server, gateway), "traffic")
}

// givenBack: the plugin that made the pair finds it where it was, and removes it.
func givenBack(l *lab) {
	server := l.server()
	_, err := l.bare("DEL", server.call, entry{"prevResult": server.result})
	l.succeeds(err, "DEL")
	inside := server.Link(server.call.IfName).Attrs()
	outside, err := l.NS.Handle().LinkByIndex(inside.ParentIndex)
	if err != nil {
		l.fault("the host end is not on the host: %v", err)
		return
	}
	a := outside.Attrs()
	l.want(a.ParentIndex == inside.Index, "%s is not the other end", a.Name)
	down := a.RawFlags&unix.IFF_UP == 0 && a.OperState != netlink.OperUp
	l.want(down && a.MasterIndex == 0, "%s is up, or a port: %+v", a.Name, a)
}
