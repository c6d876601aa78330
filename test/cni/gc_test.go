package cni

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// gcRows: libcni first sends DEL for what its cache knows; these rows wipe the cache, so that the plugins' own GC
// shows.
func gcRows() []row {
	return []row{
		{name: "GC keeps what lives", run: gcKeeps},
		{name: "GC removes attachments that the runtime does not know", run: gcRemoves},
		{name: "GC gives addresses back", run: gcAddresses},
		{name: "GC of everything", run: gcEverything},
		{name: "GC on a network that is not there", run: gcNothing},
		{name: "GC takes the key of older libraries", only: hasPolicy, run: gcOldKey},
		{name: "GC removes garbage in the kernel, its own only", only: hasPolicy, run: gcGarbage},
		{name: "GC goes on after an error", only: isMain, run: gcError},
		{name: "addresses of ended containers come back without GC", only: isMain, run: ownCollection},
		{name: "GC and ADD in turns", run: gcInTurns},
	}
}

func gcKeeps(l *lab) {
	gateway, server := l.gateway(), l.server()
	for range 2 {
		l.forget()
		l.succeeds(l.net.GC(context.Background(), gateway.call, server.call), "GC")
	}
	l.succeeds(l.reaches(server, gateway), "traffic")
	for _, m := range []member{gateway, server} {
		l.succeeds(l.check(m), "CHECK of %s", m.id)
	}
}

// abandoned attaches a server that lives, but that the runtime forgets, and one whose container ends.
func (l *lab) abandoned() (living, ended member) {
	l.t.Helper()
	living, ended = l.server(), l.server()
	ended.life.end()
	l.live = nil
	l.forget()
	return living, ended
}

func gcRemoves(l *lab) {
	lost, ended := l.abandoned()
	gateway, server := l.gateway(), l.server()
	l.succeeds(l.net.GC(context.Background(), gateway.call, server.call), "GC")
	l.want(l.cutOff(lost, gateway), "an attachment that GC should have removed reaches the gateway")
	l.succeeds(l.reaches(server, gateway), "traffic of those that live")
	for _, m := range []member{lost, ended} {
		l.succeeds(l.tryDel(l.net, m.call), "DEL after GC")
	}
}

func gcAddresses(l *lab) {
	lost, ended := l.abandoned()
	gateway := l.gateway()
	l.succeeds(l.net.GC(context.Background(), gateway.call), "GC")
	state := l.state()
	for _, m := range []member{lost, ended} {
		l.want(!state["address "+m.ip.String()], "address %s of %s is still taken", m.ip, m.id)
		l.succeeds(l.tryDel(l.net, m.call), "DEL after GC")
	}
	l.want(state["address "+gateway.ip.String()], "GC gave away the address of one that lives")
}

func gcEverything(l *lab) {
	l.gateway()
	l.abandoned()
	for range 2 {
		l.succeeds(l.net.GC(context.Background()), "GC")
	}
	l.nothingLeft("after GC of everything")
}

func gcNothing(l *lab) {
	l.succeeds(l.net.GC(context.Background()), "GC")
	l.succeeds(l.net.GC(context.Background(), testcni.Call{ID: "somebody"}), "GC with an attachment that is not there")
	l.nothingLeft("after GC of nothing")
}

// gcOldKey: libraries before containernetworking/cni#1101 call the list cni.dev/attachments.
func gcOldKey(l *lab) {
	gateway, server := l.gateway(), l.server()
	living := []entry{{"containerID": gateway.id, "ifname": "eth0"}, {"containerID": server.id, "ifname": "eth0"}}
	_, err := l.bare("GC", testcni.Call{}, entry{"cni.dev/attachments": living})
	l.succeeds(err, "GC")
	l.succeeds(l.reaches(server, gateway), "traffic of those that live")
	l.succeeds(l.check(server), "CHECK of one that lives")
}

// gcGarbage: in the network's namespace whatever belongs to no endpoint goes, since nobody else has anything there.
// What looks like mcpnet's elsewhere is another's.
func gcGarbage(l *lab) {
	gateway, server := l.gateway(), l.server()
	garbage := func(ns *testnet.NS, name, alias string) {
		foreign(ns, name)
		if err := ns.Handle().LinkSetAlias(ns.Link(name), alias); err != nil {
			l.t.Fatalf("%s: %v", name, err)
		}
	}
	l.succeeds(l.net.GC(context.Background(), gateway.call, server.call), "GC of nothing")
	before := l.state()
	l.atWires(func(ns *testnet.NS) {
		garbage(ns, "mcpw0123456789a", "mcpnet cni deadbeef cafe")
		foreign(ns, "mcpw123456789ab")
		ns.Run("nft", "add", "chain", "netdev", "mcpnet", "in-mcpwfedcba98765")
	})
	garbage(l.NS, "mcpwd0123456789", "mcpnet docker deadbeef")
	garbage(l.NS, "mcpw0123456789a", "mcpnet cni deadbeef cafe")
	l.elsewhere("mcp-docker", "mcpnet docker deadbeef cafe")
	l.elsewhere("mcp-other", "mcpnet cni deadbeef cafe")
	l.succeeds(l.net.GC(context.Background(), gateway.call, server.call), "GC")
	state := l.state()
	for _, kept := range []string{"link mcpwd0123456789", "link mcpw0123456789a", "namespace mcp-docker", "namespace mcp-other"} {
		l.want(state[kept], "another's is gone: %s", kept)
		for object := range state {
			if object == kept || strings.HasPrefix(object, strings.TrimPrefix(kept, "namespace ")+": ") {
				delete(state, object)
			}
		}
	}
	l.same(before, state, "after GC")
	l.succeeds(l.reaches(server, gateway), "traffic of those that live")
	for _, link := range []string{"mcpwd0123456789", "mcpw0123456789a"} {
		l.NS.Run("ip", "link", "del", link)
	}
	for _, name := range []string{"mcp-docker", "mcp-other"} {
		l.succeeds(ns.HostPins(l.Pins).Remove(name, nil), "remove %s", name)
	}
}

// elsewhere makes a namespace of another store's: its bridge has a mark.
func (l *lab) elsewhere(name, mark string) {
	l.t.Helper()
	if err := ns.HostPins(l.Pins).Create(name, func(ns.Handle) error { return nil }); err != nil {
		l.t.Fatalf("%v", err)
	}
	l.in(name, func(ns *testnet.NS) {
		foreign(ns, name)
		if err := ns.Handle().LinkSetAlias(ns.Link(name), mark); err != nil {
			l.t.Fatalf("%s: %v", name, err)
		}
	})
}

// gcError: what can be removed is, and the error is reported.
func gcError(l *lab) {
	lost, _ := l.abandoned()
	gateway := l.gateway()
	mend := l.block(l.IPAM())
	l.want(l.net.GC(context.Background(), gateway.call) != nil, "GC without host-local's files: no error")
	l.want(l.cutOff(lost, gateway), "GC stopped at the error: an attachment that the runtime does not know reaches the gateway")
	mend()
	l.succeeds(l.net.GC(context.Background(), gateway.call), "GC when the files are back")
}

// block puts a file where a directory should be, until mend.
func (l *lab) block(dir string) (mend func()) {
	l.t.Helper()
	aside := filepath.Join(l.Dir, "aside")
	_ = os.Rename(dir, aside)
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		l.t.Fatalf("%v", err)
	}
	return func() {
		l.t.Helper()
		if err := os.Remove(dir); err != nil {
			l.t.Fatalf("%v", err)
		}
		_ = os.Rename(aside, dir)
	}
}

// ownCollection: under nerdctl nobody calls GC. A full range is looked through for containers that ended.
func ownCollection(l *lab) {
	small := l.network(setIPAM(ranges(entry{"subnet": subnet, "gateway": bridgeAddr, "rangeStart": "172.20.0.10", "rangeEnd": "172.20.0.11"}), "ranges"))
	for range 2 {
		c := l.container()
		m := l.add(small, c, c.call())
		m.life.end()
	}
	l.live = nil
	l.until("wires of ended containers go", func() bool { return len(wires(l)) == 0 })
	for range 2 {
		c := l.container()
		if _, err := l.tryAdd(small, c.call()); err != nil {
			l.fault("ADD where ended containers hold all addresses: %v", err)
		}
	}
	c := l.container()
	_, err := l.tryAdd(small, c.call())
	l.refused(err, 11, "ADD where living containers hold all addresses", networkName)
}

func gcInTurns(l *lab) {
	gateway := l.gateway()
	living := []testcni.Call{gateway.call}
	for range 4 {
		m := l.server()
		living = append(living, m.call)
		l.succeeds(l.net.GC(context.Background(), living...), "GC")
		l.succeeds(l.reaches(m, gateway), "traffic after GC")
	}
	l.succeeds(l.net.GC(context.Background(), living[:3]...), "GC") // libcni sends DEL for the others
	l.live = l.live[:3]
	m := l.server()
	l.succeeds(l.reaches(m, gateway), "traffic of the next")
}
