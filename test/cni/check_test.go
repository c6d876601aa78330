package cni

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// until waits for something that the kernel does in its own time.
func (l *lab) until(what string, done func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(3 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s: not within 3 s", what)
		}
	}
}

// wires are the host ends of containers' interfaces.
func wires(l *lab) []string {
	l.t.Helper()
	links, err := l.NS.Handle().LinkList()
	if err != nil {
		l.t.Fatalf("links: %v", err)
	}
	var names []string
	for _, link := range links {
		if link.Type() == "veth" {
			names = append(names, link.Attrs().Name)
		}
	}
	return names
}

// wire is the host end of an attachment, by its result.
func (m member) wire(l *lab) string {
	l.t.Helper()
	for _, i := range m.result.Interfaces {
		if link, err := l.NS.Handle().LinkByName(i.Name); i.Sandbox == "" && err == nil && link.Type() == "veth" {
			return i.Name
		}
	}
	l.t.Fatalf("the result names no host end: %v", m.result.Interfaces)
	return ""
}

// loss is something of an attachment that goes missing.
type loss struct {
	name    string
	only    func(subject) bool
	gateway bool // of a gateway, instead of a server
	says    string
	lose    func(l *lab, m member)
	mend    func(m member) // where DEL could not find it
}

var losses = []loss{
	{name: "all nftables rules", only: hasRules, says: "nftables", lose: func(l *lab, _ member) { l.NS.Run("nft", "flush", "ruleset") }},
	{name: "the server's own rules", only: hasRules, says: "guard", lose: func(l *lab, m member) {
		l.NS.Run("nft", "flush", "chain", "netdev", "mcpnet", "in-"+m.wire(l))
	}},
	{name: "the gateway's own rules", only: hasRules, gateway: true, says: "guard", lose: func(l *lab, m member) {
		l.NS.Run("nft", "flush", "chain", "netdev", "mcpnet", "in-"+m.wire(l))
	}},
	{name: "the wire", says: "", lose: func(l *lab, m member) { l.NS.Run("ip", "link", "del", m.wire(l)) }},
	{name: "the wire is down", only: hasRules, says: "up", lose: func(l *lab, m member) { l.NS.Run("ip", "link", "set", m.wire(l), "down") }},
	{name: "a server's wire is on a bridge", only: hasRules, says: "bridge", lose: func(l *lab, m member) {
		l.NS.Run("ip", "link", "set", m.wire(l), "master", l.s.bridge)
	}},
	{name: "a gateway's wire is off its bridge", gateway: true, says: "bridge", lose: func(l *lab, m member) {
		l.NS.Run("ip", "link", "set", m.wire(l), "nomaster")
	}},
	{name: "the bridge's address", only: isMain, says: "bridge", lose: func(l *lab, _ member) { l.NS.Run("ip", "addr", "flush", "dev", l.s.bridge) }},
	{name: "the container's interface", says: "eth0", lose: func(_ *lab, m member) {
		m.Run("ip", "link", "set", "eth0", "name", "elsewhere")
	}, mend: func(m member) {
		m.Run("ip", "link", "set", "elsewhere", "name", "eth0")
	}},
	{name: "the container's interface is down", only: hasRules, says: "eth0", lose: func(_ *lab, m member) { m.Run("ip", "link", "set", "eth0", "down") }},
	{name: "the container's address", says: "", lose: func(_ *lab, m member) {
		m.Run("ip", "addr", "flush", "dev", "eth0")
		m.Run("ip", "addr", "add", "172.20.99.99/16", "dev", "eth0")
		for _, r := range m.result.Routes { // they went with the address
			if r.GW != nil && !r.GW.IsUnspecified() {
				m.Run("ip", "route", "add", r.Dst.String(), "via", r.GW.String())
			} else {
				m.Run("ip", "route", "replace", r.Dst.String(), "dev", "eth0")
			}
		}
	}},
	{name: "the container's hardware address", says: "eth0", lose: func(_ *lab, m member) {
		m.Run("ip", "link", "set", "eth0", "address", "02:00:00:00:00:77")
	}},
	{name: "the container's route", says: "", lose: func(l *lab, m member) {
		l.want(len(m.result.Routes) > 0, "the result has no route")
		for _, r := range m.result.Routes {
			m.Run("ip", "route", "del", r.Dst.String())
		}
	}},
	{name: "the address in IPAM", only: makesLinks, says: "", lose: func(l *lab, m member) {
		if err := os.Remove(filepath.Join(l.IPAM(), networkName, m.ip.String())); err != nil {
			l.t.Fatalf("%v", err)
		}
	}},
}

func checkRows() []row {
	rows := []row{
		{name: "CHECK of what is in order", run: checkPasses},
		{name: "CHECK through the list", run: checkList},
		{name: "CHECK passes over what others added", run: checkAdditions},
		{name: "CHECK of one that was never attached", run: checkUnknown},
		{name: "CHECK without prevResult", run: checkWithoutResult},
	}
	for _, of := range losses {
		rows = append(rows, row{name: "CHECK finds missing: " + of.name, only: of.only, run: of.run})
	}
	return rows
}

func checkPasses(l *lab) {
	for _, m := range []member{l.gateway(), l.server()} {
		for range 2 {
			l.succeeds(l.check(m), "CHECK of %s", m.id)
		}
	}
}

func checkList(l *lab) {
	for _, m := range []member{l.gateway(), l.server()} {
		l.succeeds(l.net.Check(context.Background(), m.call), "CHECK of %s", m.id)
	}
}

// run loses it and asks.
func (of loss) run(l *lab) {
	attach := l.server
	if of.gateway {
		attach = l.gateway
	}
	m := attach()
	of.lose(l, m)
	err := l.check(m)
	if of.mend != nil {
		of.mend(m)
	}
	if err == nil {
		l.fault("CHECK finds nothing")
		return
	}
	text := errorOf(err).Msg
	l.want(contains(text, of.says), "CHECK does not say %q: %s", of.says, text)
	if l.s.policy {
		l.refused(err, 100, "CHECK", networkName, m.id)
	}
}

// checkAdditions: plugins later in a list add addresses, routes and settings.
func checkAdditions(l *lab) {
	server := l.server()
	server.Run("ip", "addr", "add", "10.99.0.1/32", "dev", "eth0")
	server.Run("ip", "route", "add", "10.99.1.0/24", "dev", "eth0")
	server.Run("ip", "link", "set", "eth0", "txqueuelen", "77")
	l.succeeds(l.check(server), "CHECK")
}

func checkUnknown(l *lab) {
	server := l.server()
	never := l.container()
	l.want(l.check(member{never, never.call(), server.ip, server.result}) != nil, "CHECK of another container with this one's result: no error")
	l.del(server)
	l.want(l.check(server) != nil, "CHECK after DEL: no error")
}

func checkWithoutResult(l *lab) {
	server := l.server()
	_, err := l.bare("CHECK", server.call, nil)
	l.refused(err, types.ErrInvalidNetworkConfig, "CHECK without prevResult", "prevResult")
}
