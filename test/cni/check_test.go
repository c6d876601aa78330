package cni

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/testnet"
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

// atWires runs f with the namespace in which the other ends of containers' interfaces are: the network's own, or the
// host's where a plugin makes no namespace. It does not where that is gone.
func (l *lab) atWires(f func(*testnet.NS)) {
	l.t.Helper()
	switch {
	case !l.s.guards:
		f(l.NS)
	case slices.Contains(l.pinned(), l.s.bridge):
		l.in(l.s.bridge, f)
	}
}

// wires are the other ends of containers' interfaces. The host has some until a plugin takes them, and an uplink,
// which is none.
func wires(l *lab) (names []string) {
	l.t.Helper()
	own := func(ns *testnet.NS) {
		links, err := ns.Links()
		if err != nil {
			l.t.Fatalf("links: %v", err)
		}
		for _, link := range links {
			name := link.Attrs().Name
			if link.Type() == "veth" && !isUplink(l, name) && !strings.HasPrefix(name, "mcp-") {
				names = append(names, name)
			}
		}
	}
	own(l.NS)
	if l.s.guards {
		l.atWires(own)
	}
	return names
}

func isUplink(l *lab, name string) bool {
	return l.s.guards && (name == l.s.bridge || strings.HasPrefix(name, "mcpu"))
}

// wire is the other end of an attachment's interface, by the kernel's own links.
func (m member) wire(l *lab, ns *testnet.NS) string {
	l.t.Helper()
	inside := m.Link(m.call.IfName)
	found, err := ns.Handle().LinkByIndex(inside.Attrs().ParentIndex)
	if err != nil || found.Type() != "veth" || found.Attrs().ParentIndex != inside.Attrs().Index {
		l.t.Fatalf("%s: no wire: %v", m.id, err)
	}
	return found.Attrs().Name
}

// wireSet sets something of an attachment's wire, as `ip link set` does.
func (l *lab) wireSet(m member, args ...string) {
	l.t.Helper()
	l.atWires(func(ns *testnet.NS) { ns.Run("ip", append([]string{"link", "set", m.wire(l, ns)}, args...)...) })
}

// noRules takes away everything that nftables knows of an attachment's wire: the rules of its chain, where it has
// one, and its elements.
func (l *lab) noRules(m member) {
	l.t.Helper()
	l.atWires(func(ns *testnet.NS) {
		_, _ = ns.Output("nft", "flush", "chain", "netdev", "mcpnet", "in-"+m.wire(l, ns))
	})
	l.noElements(m)
}

// noElements takes away the elements that name an attachment's wire by its index.
func (l *lab) noElements(m member) {
	l.t.Helper()
	l.atWires(func(ns *testnet.NS) {
		wire := m.wire(l, ns)
		if err := dropElements(ns.Path(), ns.Link(wire).Attrs().Index); err != nil {
			l.t.Fatalf("elements of %s: %v", wire, err)
		}
	})
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
	{name: "all nftables rules", only: hasRules, says: "nftables", lose: func(l *lab, _ member) {
		l.atWires(func(ns *testnet.NS) { ns.Run("nft", "flush", "ruleset") })
	}},
	{name: "the server's own rules", only: hasRules, says: "anti-spoof", lose: func(l *lab, m member) {
		l.noRules(m)
	}},
	{name: "the gateway's own rules", only: hasRules, gateway: true, says: "anti-spoof", lose: func(l *lab, m member) {
		l.noRules(m)
	}},
	{name: "the server's own elements", only: hasRules, says: "set anti-spoof lacks", lose: (*lab).noElements},
	{name: "the gateway's own elements", only: hasRules, gateway: true, says: "set anti-spoof-gateway lacks", lose: (*lab).noElements},
	{name: "the wire", says: "", lose: func(l *lab, m member) { l.atWires(func(ns *testnet.NS) { ns.Run("ip", "link", "del", m.wire(l, ns)) }) }},
	{name: "the wire is down", only: hasRules, says: "down", lose: func(l *lab, m member) { l.wireSet(m, "down") }},
	{name: "a server's wire is on a bridge", only: hasRules, says: "bridge", lose: func(l *lab, m member) {
		l.wireSet(m, "master", l.s.bridge)
	}},
	{name: "a gateway's wire is off its bridge", gateway: true, says: "bridge", lose: func(l *lab, m member) {
		l.wireSet(m, "nomaster")
	}},
	{name: "the router's address", only: hasRules, says: "router", lose: func(l *lab, _ member) {
		l.atWires(func(ns *testnet.NS) { ns.Run("ip", "addr", "flush", "dev", "mcp-router") })
	}},
	{name: "a gateway's rules on the host", only: hasRules, gateway: true, says: "uplink", lose: func(l *lab, _ member) {
		l.NS.Run("nft", "delete", "table", "inet", "mcpnet")
	}},
	{name: "a gateway's uplink", only: hasRules, gateway: true, says: "uplink", lose: func(l *lab, _ member) {
		l.atWires(func(ns *testnet.NS) { ns.Run("ip", "link", "del", "mcp-uplink") })
	}},
	{name: "the container's interface", says: "eth0", lose: func(_ *lab, m member) {
		m.Run("ip", "link", "set", "eth0", "down") // older kernels rename no link that is up
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
