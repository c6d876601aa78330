package cni

import (
	"context"
	"encoding/json"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/testcni"
)

// chainRows: behind another plugin, whose result is where everything begins.
func chainRows() []row {
	rows := []row{
		{name: "chain: passes on what it does not change", only: isChained, run: chainPassesOn},
		{name: "chain: the default route goes", only: isChained, run: chainRoute},
		{name: "chain: ADD of the plugin alone, twice", only: isChained, run: chainTwice},
		{name: "chain: DEL of the plugin alone stops traffic and never fails", only: isChained, run: chainDel},
		{name: "chain: without a plugin before", only: isChained, run: chainFirst},
		{name: "chain: with ipam behind a plugin that made the interface", only: isChained, run: chainIPAM},
		{name: "chain: another bridge than the plugin's before", only: isChained, run: chainOtherBridge},
		{name: "chain: before the plugins firewall, portmap and tuning", only: hasPolicy, version: "1.0.0", run: chainBefore},
		{name: "chain: before the plugin firewall with an ingress policy", only: hasPolicy, version: "1.0.0", run: chainIngress},
	}
	for name, says := range map[string]string{"gone": "gone", "file": "not a network namespace", "host": "host's own"} {
		rows = append(rows, row{name: "chain: a namespace that is: " + name, only: isChained, run: func(l *lab) { l.chainNetns(name, says) }})
	}
	for _, bad := range badResults {
		rows = append(rows, row{name: "chain: prevResult " + bad.name, only: isChained, run: bad.run})
	}
	return rows
}

// first runs the plugins before the one under test.
func (l *lab) first(c testcni.Call) *current.Result {
	l.t.Helper()
	out, err := l.exec("bridge", "ADD", l.conf(l.s.list(), 0, nil), c)
	if err != nil {
		l.t.Fatalf("bridge ADD: %v", err)
	}
	var r current.Result
	if err := json.Unmarshal(out, &r); err != nil {
		l.t.Fatalf("bridge ADD: %v", err)
	}
	return &r
}

// last runs DEL of the plugins before.
func (l *lab) last(c testcni.Call) {
	l.t.Helper()
	if _, err := l.exec("bridge", "DEL", l.conf(l.s.list(), 0, nil), c); err != nil {
		l.t.Fatalf("bridge DEL: %v", err)
	}
}

func chainPassesOn(l *lab) {
	c := l.container()
	prev := l.first(c.call())
	prev.DNS = types.DNS{Domain: "example.org", Search: []string{"example.org"}}
	prev.Interfaces = append(prev.Interfaces, &current.Interface{Name: "somebody", Mac: "02:00:00:00:00:99"})
	out, err := l.bare("ADD", c.call(), entry{"prevResult": prev})
	l.succeeds(err, "ADD")
	var got current.Result
	l.succeeds(json.Unmarshal(out, &got), "ADD: %s", out)
	// The host end is in the network's namespace now, and no interface of the host or the container.
	want := slices.Concat(prev.Interfaces[:1], prev.Interfaces[2:])
	l.want(cmp.Equal(got.Interfaces, want), "interfaces: %v instead of %v", got.Interfaces, want)
	l.want(contains(string(out), "02:00:00:00:00:99"), "an interface of the plugins before is missing: %s", out)
	l.want(got.DNS.Domain == "example.org", "dns of the plugins before: %+v", got.DNS)
	l.want(len(got.IPs) == 1 && got.IPs[0].Interface != nil && *got.IPs[0].Interface == 1, "the address is not the container's: %v", got.IPs)
	_, err = l.bare("DEL", c.call(), entry{"prevResult": got})
	l.succeeds(err, "DEL")
	l.last(c.call())
}

func chainRoute(l *lab) {
	server := l.server()
	for _, r := range routesOf(l, server) {
		l.want(r.Dst != nil && r.Dst.String() != "0.0.0.0/0", "a server has the route %s", r)
	}
	l.want(len(server.result.Routes) == 1, "routes of the result: %v", server.result.Routes)
}

// chainTwice: the second finds no port of a bridge, and leaves the first as it is.
func chainTwice(l *lab) {
	gateway := l.gateway()
	c := l.container()
	prev := l.first(c.call())
	out, err := l.bare("ADD", c.call(), entry{"prevResult": prev})
	l.succeeds(err, "ADD")
	for _, result := range []any{prev, json.RawMessage(out)} {
		_, err = l.bare("ADD", c.call(), entry{"prevResult": result})
		l.want(err != nil, "the second ADD: accepted")
	}
	var r current.Result
	l.succeeds(json.Unmarshal(out, &r), "ADD: %s", out)
	m := member{c, c.call(), addressIn(l, &r), &r}
	l.succeeds(l.reaches(m, gateway), "traffic of the first")
	l.succeeds(l.check(m), "CHECK of the first")
	_, err = l.delAll(c.call(), out)
	l.succeeds(err, "DEL")
}

func addressIn(l *lab, r *current.Result) netip.Addr {
	l.t.Helper()
	ip, err := addressOf(r)
	if err != nil {
		l.t.Fatalf("%v", err)
	}
	return ip
}

// chainDel: an error would keep the plugins before from their part. Until those took the interface away nothing passes.
func chainDel(l *lab) {
	gateway, server := l.gateway(), l.server()
	_, err := l.bare("DEL", server.call, entry{"prevResult": server.result})
	l.succeeds(err, "DEL")
	l.want(l.cutOff(server, gateway), "traffic passes between this plugin's DEL and the bridge's")
	back := l.NS.Link(server.wire(l, l.NS)).Attrs()
	l.want(back.Flags&net.FlagUp == 0 && back.MasterIndex == 0, "the wire went back to the host as %v, port of %d", back.Flags, back.MasterIndex)
	_, err = l.bare("DEL", server.call, entry{"prevResult": "nonsense", "policy": "nonsense", "unheard-of": 7})
	l.succeeds(err, "DEL with a broken configuration")
	mend := l.block(l.Store())
	l.want(l.net.Status(context.Background()) != nil, "the store can be used, so that this tests nothing")
	_, err = l.bare("DEL", gateway.call, entry{"prevResult": gateway.result})
	l.succeeds(err, "DEL without the store")
	mend()
}

func chainFirst(l *lab) {
	c := l.container()
	_, err := l.bare("ADD", c.call(), nil)
	l.refused(err, types.ErrInvalidNetworkConfig, "ADD without prevResult", networkName, "prevResult")
	l.nothingLeft("after the refused ADD")
}

func chainIPAM(l *lab) {
	c := l.container()
	prev := l.first(c.call())
	before := l.state()
	_, err := l.bare("ADD", c.call(), entry{"prevResult": prev, "ipam": hostLocal(nil)})
	l.refused(err, types.ErrInvalidNetworkConfig, "ADD with ipam behind the bridge plugin", networkName, "ipam")
	for object := range l.state() {
		l.want(before[object], "the refused ADD left: %s", object)
	}
	l.last(c.call())
}

func chainOtherBridge(l *lab) {
	n := l.network(set("br-other", "bridge"))
	c := l.container()
	l.refused(l.turnedDown(n, c.call()), types.ErrInvalidNetworkConfig, "ADD", networkName, "br-other", "cni-conf")
}

// chainBefore: the usual plugins behind it take its result, in every verb.
func chainBefore(l *lab) {
	list := append(l.s.list(), entry{"type": "portmap", "capabilities": entry{"portMappings": true}, "snat": true},
		entry{"type": "firewall"}, entry{"type": "tuning", "mtu": 1400})
	n := l.MustNetwork(conflist(l.t, l.version, list))
	a, b := l.container(), l.container()
	gateway := l.add(n, a, with(withIP(a.call(), gatewayAddr), "portMappings", ports()))
	server := l.add(n, b, b.call())
	l.listen(gateway)
	l.succeeds(l.reaches(server, gateway), "traffic")
	for _, m := range []member{server, gateway} {
		l.want(m.Link("eth0").Attrs().MTU == 1400, "%s: tuning set no mtu", m.id)
		if !l.s.chained { // the bridge plugin's own CHECK fails in a chain
			l.succeeds(n.Check(context.Background(), m.call), "CHECK through the list of %s", m.id)
		}
		l.succeeds(l.tryDel(n, m.call), "DEL")
	}
	l.flushFilter()
}

// flushFilter removes what those plugins leave: chains without rules of a container.
func (l *lab) flushFilter() {
	for _, table := range []string{"filter", "nat"} {
		l.NS.Run("nft", "flush", "table", "ip", table)
		l.NS.Run("nft", "delete", "table", "ip", table)
	}
}

// chainIngress: the plugin takes the result's first interface for the network's bridge on the host.
func chainIngress(l *lab) {
	n := l.MustNetwork(conflist(l.t, l.version, append(l.s.list(), entry{"type": "firewall", "ingressPolicy": "same-bridge"})))
	a, b := l.container(), l.container()
	gateway, server := l.add(n, a, withIP(a.call(), gatewayAddr)), l.add(n, b, b.call())
	l.listen(gateway)
	l.succeeds(l.reaches(server, gateway), "traffic")
	rules := l.NS.Run("iptables", "-w", "-S")
	l.want(contains(rules, "-i "+l.s.bridge+" "), "no rule of the network's interface %s: %s", l.s.bridge, rules)
	l.want(!contains(rules, "eth0"), "a rule of the host's names an interface of the container: %s", rules)
	for _, m := range []member{server, gateway} {
		l.succeeds(l.tryDel(n, m.call), "DEL")
	}
	l.NS.Run("nft", "flush", "table", "ip", "filter")
	l.NS.Run("nft", "delete", "table", "ip", "filter")
}

// chainNetns: the namespace went between the bridge plugin and this one.
func (l *lab) chainNetns(kind, says string) {
	c := l.container()
	call := c.call()
	prev := l.first(call)
	switch call.NetNS = filepath.Join(l.Dir, kind); kind {
	case "file":
		if err := os.WriteFile(call.NetNS, nil, 0o600); err != nil {
			l.t.Fatalf("%v", err)
		}
	case "host":
		call.NetNS = l.NS.Path()
	}
	before := l.state()
	_, err := l.bare("ADD", call, entry{"prevResult": prev})
	l.refused(err, badEnv, "ADD", networkName, "CNI_NETNS", says)
	for object := range l.state() {
		l.want(before[object], "the refused ADD left: %s", object)
	}
	l.last(c.call())
}

// badResult is a prevResult that tells of no interface that could be guarded.
type badResult struct {
	name string
	code uint
	says string
	make func(l *lab, r *current.Result) any
}

var badResults = []badResult{
	{"without interfaces", badConf, "eth0", func(_ *lab, r *current.Result) any { r.Interfaces = nil; r.IPs[0].Interface = nil; return r }},
	{"without the container's interface", badConf, "eth0", func(_ *lab, r *current.Result) any { r.Interfaces[2].Name = "net7"; return r }},
	{"without addresses", badConf, "address", func(_ *lab, r *current.Result) any { r.IPs = nil; return r }},
	{"with two addresses", badConf, "address", func(_ *lab, r *current.Result) any { r.IPs = append(r.IPs, r.IPs[0]); return r }},
	{"with an IPv6 address", badConf, "address", func(_ *lab, r *current.Result) any {
		r.IPs[0].Address.IP, r.IPs[0].Address.Mask = r.IPs[0].Address.IP.To16(), nil
		r.IPs[0].Address.IP[0] = 0x20
		r.IPs[0].Address.Mask = make([]byte, 16)
		return r
	}},
	{"of another version", badConf, "prevResult", func(_ *lab, _ *current.Result) any {
		return entry{"cniVersion": "0.2.0", "ip4": entry{"ip": "172.20.0.9/16"}}
	}},
	{"that is text", badDecode, "prevResult", func(_ *lab, _ *current.Result) any { return "nonsense" }},
	{"that is a list", badDecode, "prevResult", func(_ *lab, _ *current.Result) any { return []int{1} }},
	{"of an interface on no bridge", badConf, "bridge", func(l *lab, r *current.Result) any {
		l.NS.Run("ip", "link", "set", r.Interfaces[1].Name, "nomaster")
		return r
	}},
	{"of an interface that is gone", badConf, "eth0", func(l *lab, r *current.Result) any {
		l.NS.Run("ip", "link", "del", r.Interfaces[1].Name)
		return r
	}},
	{"with an address in another subnet than the policy's gateway", badConf, "policy.gateway", func(_ *lab, r *current.Result) any {
		r.IPs[0].Address.IP = []byte{10, 1, 2, 3}
		return r
	}},
}

func (bad badResult) run(l *lab) {
	c := l.container()
	prev := bad.make(l, l.first(c.call()))
	before := l.state()
	_, err := l.bare("ADD", c.call(), entry{"prevResult": prev})
	l.refused(err, bad.code, "ADD", networkName, bad.says)
	l.clear(err)
	for object := range l.state() {
		l.want(before[object], "the refused ADD left: %s", object)
	}
	_, err = l.bare("DEL", c.call(), entry{"prevResult": prev})
	l.succeeds(err, "DEL after the refused ADD")
	l.last(c.call())
}
