package cni

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// wrong is input that has to be refused by ADD: with the specification's code and a message that says what is wrong,
// and with nothing left.
type wrong struct {
	name   string
	only   func(subject) bool
	code   uint
	says   []string // in the message, besides the network's name
	change []change // of the configuration
	// before prepares the host, and may change what the runtime asks for.
	before func(l *lab, c *testcni.Call)
	after  func(l *lab) // undoes before
	// nameless messages cannot name the network: the input is not read so far.
	nameless bool
	bare     bool // libcni itself refuses the list
	delFails string
}

const (
	badEnv     = types.ErrInvalidEnvironmentVariables
	badConf    = types.ErrInvalidNetworkConfig
	tryLater   = types.ErrTryAgainLater
	badDecode  = types.ErrDecodingFailure
	badVersion = types.ErrIncompatibleCNIVersion
)

var wrongs = []wrong{
	// The policy.
	{name: "an unknown key", only: hasPolicy, code: badConf, says: []string{"sunset", "unknown key"}, change: []change{set(1, "sunset")}},
	{name: "a key of the bridge plugin", only: isMain, code: badConf, says: []string{"isDefaultGateway", "bridge plugin"}, change: []change{set(true, "isDefaultGateway")}},
	{name: "a policy key outside of policy", only: isMain, code: badConf, says: []string{"gateway.egress", "policy"}, change: []change{set("off", "gateway.egress")}},
	{name: "a misspelt key", only: isMain, code: badConf, says: []string{"polcy", "did you mean policy?"}, change: []change{set(1, "polcy")}},
	{name: "a misspelt policy key", only: isMain, code: badConf, says: []string{"policy.gatway", "did you mean gateway?"}, change: []change{set("172.20.0.9:9", "policy", "gatway")}},
	{name: "a policy key of a later version", only: isMain, code: badConf, says: []string{"policy.redirect", "not supported in this version"}, change: []change{set("x", "policy", "redirect")}},
	{name: "no gateway", only: hasPolicy, code: badConf, says: []string{"policy.gateway"}, change: []change{set(entry{}, "policy")}},
	{name: "no policy", only: isMain, code: badConf, says: []string{"policy.gateway"}, change: []change{func(s subject, list []entry) { delete(underTest(s, list), "policy") }}},
	{name: "a gateway outside the subnet", only: hasPolicy, code: badConf, says: []string{"policy.gateway", "10.1.1.1", subnet}, change: []change{set("10.1.1.1:80", "policy", "gateway")}},
	{name: "the bridge as gateway", only: isMain, code: badConf, says: []string{"policy.gateway", bridgeAddr}, change: []change{set(bridgeAddr+":80", "policy", "gateway")}},
	{name: "a policy value that is an object", only: isMain, code: badConf, says: []string{"policy.mode"}, change: []change{set(entry{"a": 1}, "policy", "mode")}},
	{name: "a policy key twice", only: isMain, code: badConf, says: []string{"mode", "twice"}, change: []change{set("audit", "policy", "mode"), set("audit", "policy", "mcpnet.mode")}},
	{name: "every problem at once", only: hasPolicy, code: badConf,
		says:   []string{"5 problems", "polcy", "policy.gatway", "policy.mode", "mtu", "policy.log"},
		change: []change{set(1, "polcy"), set("x", "policy", "gatway"), set("loud", "policy", "mode"), set(3, "mtu"), set("maybe", "policy", "log")}},

	// Types.
	{name: "policy is text", only: hasPolicy, code: badDecode, says: []string{"policy"}, change: []change{set("strict", "policy")}},
	{name: "mtu is text", only: isMain, code: badDecode, says: []string{"mtu"}, change: []change{set("1500", "mtu")}},
	{name: "bridge is a number", only: makesLinks, code: badDecode, says: []string{"bridge"}, change: []change{set(7, "bridge")}},
	{name: "ipam is text", only: makesLinks, code: badDecode, bare: true, says: []string{"ipam"}, change: []change{set("host-local", "ipam")}},
	{name: "capabilities are a list", only: makesLinks, code: badDecode, bare: true, says: []string{"capabilities"}, change: []change{set([]string{"ips"}, "capabilities")}},
	{name: "mtu is negative", only: isMain, code: badConf, says: []string{"mtu"}, change: []change{set(-1, "mtu")}},
	{name: "bridge is too long", only: isMain, code: badConf, says: []string{"bridge", "a-very-long-name-of-a-bridge"}, change: []change{set("a-very-long-name-of-a-bridge", "bridge")}},
	{name: "role is nothing that there is", only: isMain, code: badConf, says: []string{"role", "gatway", "gateway"}, change: []change{set("gatway", "role")}},

	// IPAM.
	{name: "an IPAM plugin that is not there", only: makesLinks, code: badConf, says: []string{"ipam.type", "nowhere"}, delFails: "failed to find plugin", change: []change{setIPAM("nowhere", "type")}},
	{name: "no ranges", only: makesLinks, code: badConf, says: []string{"ipam"}, change: []change{func(s subject, list []entry) {
		delete(underTest(s, list)["ipam"].(entry), "ranges")
	}}},
	{name: "a range of IPv6", only: isMain, code: badConf, says: []string{"IPv"}, change: []change{setIPAM(ranges(entry{"subnet": "fd00:20::/64"}), "ranges")}},
	{name: "a range set of each family", only: isMain, code: badConf, says: []string{"IPv"},
		change: []change{setIPAM(append(ranges(entry{"subnet": subnet}), ranges(entry{"subnet": "fd00:20::/64"})...), "ranges")}},
	{name: "two range sets", only: isMain, code: badConf, says: []string{"one"},
		change: []change{setIPAM(append(ranges(entry{"subnet": subnet}), ranges(entry{"subnet": "172.21.0.0/16"})...), "ranges")}},
	{name: "ranges of two subnets", only: isMain, code: badConf, says: []string{"ipam.ranges", "one subnet"},
		change: []change{setIPAM(ranges(entry{"subnet": subnet, "gateway": bridgeAddr}, entry{"subnet": "172.21.0.0/16"}), "ranges")}},
	{name: "a subnet without room for a gateway", only: isMain, code: badConf, says: []string{"ipam"}, change: []change{setIPAM(ranges(entry{"subnet": "172.20.0.0/31"}), "ranges")}},
	{name: "resolvConf", only: isMain, code: badConf, says: []string{"ipam.resolvConf", "policy.dns"}, change: []change{setIPAM("/etc/resolv.conf", "resolvConf")}},
	{name: "a full range", only: makesLinks, code: tryLater, says: []string{"172.20.0.10"},
		change: []change{setIPAM(ranges(entry{"subnet": subnet, "gateway": bridgeAddr, "rangeStart": "172.20.0.10", "rangeEnd": "172.20.0.10"}), "ranges")},
		before: func(l *lab, _ *testcni.Call) { l.takeAddress("172.20.0.10") },
		after:  func(l *lab) { l.giveAddress("172.20.0.10") }},
	{name: "a range of nothing but a gateway", only: isMain, code: badConf, says: []string{"ipam", gatewayAddr, "widen"},
		change: []change{setIPAM(ranges(entry{"subnet": subnet, "gateway": bridgeAddr, "rangeStart": gatewayAddr, "rangeEnd": gatewayAddr}), "ranges")}},
	{name: "a gateway's address that nobody asked for", only: isChained, code: badConf, says: []string{gatewayAddr, "asked for"},
		change: []change{setIPAM(ranges(entry{"subnet": subnet, "gateway": bridgeAddr, "rangeStart": gatewayAddr, "rangeEnd": gatewayAddr}), "ranges")}},

	// The host.
	{name: "an interface has the bridge's name", only: makesLinks, code: badConf, says: []string{"bridge"},
		before: func(l *lab, _ *testcni.Call) {
			testnet.Veth(l.t, testnet.Port{NS: l.NS, Name: l.s.bridge}, testnet.Port{NS: testnet.New(l.t, "elsewhere"), Name: "eth0"})
		},
		after: func(l *lab) { l.NS.Run("ip", "link", "del", l.s.bridge) }},
	{name: "somebody's bridge has the bridge's name", only: isMain, code: badConf, says: []string{"bridge", "mcpnet did not make"},
		before: func(l *lab, _ *testcni.Call) { foreign(l.NS, l.s.bridge, "192.0.2.1/24") },
		after:  func(l *lab) { l.NS.Run("ip", "link", "del", l.s.bridge) }},
	{name: "an interface of the host has the subnet", only: hasPolicy, code: badConf, says: []string{"subnet", "lan0"},
		before: func(l *lab, _ *testcni.Call) { foreign(l.NS, "lan0", "172.20.5.5/16") },
		after:  func(l *lab) { l.NS.Run("ip", "link", "del", "lan0") }},

	// What the runtime asks for.
	{name: "a namespace that is gone", only: makesLinks, code: badEnv, says: []string{"CNI_NETNS", "gone"}, before: func(l *lab, c *testcni.Call) { c.NetNS = filepath.Join(l.Dir, "gone") }},
	{name: "a namespace that is a file", only: makesLinks, code: badEnv, says: []string{"CNI_NETNS"}, before: func(l *lab, c *testcni.Call) {
		c.NetNS = filepath.Join(l.Dir, "file")
		if err := os.WriteFile(c.NetNS, nil, 0o600); err != nil {
			l.t.Fatalf("%v", err)
		}
	}},
	{name: "the host's own namespace", only: makesLinks, code: badEnv, says: []string{"CNI_NETNS", "host's own"}, delFails: "should not be the same", before: func(l *lab, c *testcni.Call) { c.NetNS = l.NS.Path() }},
	{name: "no namespace", only: makesLinks, code: badEnv, nameless: true, says: []string{"CNI_NETNS"}, before: func(_ *lab, c *testcni.Call) { c.NetNS = "" }},
	{name: "an address of IPv6", only: makesLinks, code: badConf, says: []string{"ips", "fd00::7"}, before: func(_ *lab, c *testcni.Call) { *c = with(*c, "ips", []string{"fd00::7"}) }},
	{name: "two addresses", only: makesLinks, code: badConf, says: []string{"ips", "172.20.7.7", "172.20.7.8"}, before: func(_ *lab, c *testcni.Call) {
		*c = with(*c, "ips", []string{"172.20.7.7", "172.20.7.8"})
	}},
	{name: "the bridge's address", only: makesLinks, code: badConf, says: []string{bridgeAddr}, before: func(_ *lab, c *testcni.Call) { *c = withIP(*c, bridgeAddr) }},
	{name: "the subnet's own address", only: makesLinks, code: badConf, says: []string{"172.20.0.0"}, before: func(_ *lab, c *testcni.Call) { *c = withIP(*c, "172.20.0.0") }},
}

func wrongRows() []row {
	rows := []row{
		{name: "wrong input: not JSON", run: wrongJSON},
		{name: "wrong input: no name, no command, no container", run: wrongProtocol},
	}
	for _, w := range wrongs {
		rows = append(rows, row{name: "wrong input: " + w.name, only: w.only, run: w.run})
	}
	return rows
}

func (w wrong) run(l *lab) {
	c := l.container()
	call := c.call()
	if w.before != nil {
		w.before(l, &call)
	}
	before := l.state()
	add, del := w.through(l)
	err := add(call)
	says := w.says
	if !w.nameless {
		says = append([]string{networkName}, says...)
	}
	l.refused(err, w.code, "ADD", says...)
	if l.s.policy {
		l.clear(err)
	}
	if l.s.undoes {
		l.sameAs(before, "after the refused ADD")
		l.want(len(l.linksOf(c)) == 0, "the container has %v", l.linksOf(c))
	}
	if err := del(call); err != nil && (w.delFails == "" || !strings.Contains(err.Error(), w.delFails)) {
		l.fault("DEL after the refused ADD: %v", err)
	}
	l.sameAs(before, "after the refused ADD and its DEL")
	l.want(len(l.linksOf(c)) == 0, "the container has %v after DEL", l.linksOf(c))
	if w.after != nil {
		w.after(l)
	}
}

// through gives the calls of a runtime with the wrong configuration.
func (w wrong) through(l *lab) (add, del func(testcni.Call) error) {
	if w.bare {
		list := l.s.changed(w.change...)
		conf := l.conf(list, l.entry(list), nil)
		call := func(verb string) func(testcni.Call) error {
			return func(c testcni.Call) error { _, err := l.exec(l.s.plugin, verb, conf, c); return err }
		}
		return call("ADD"), call("DEL")
	}
	n := l.network(w.change...)
	return func(c testcni.Call) error { _, err := l.tryAdd(n, c); return err }, func(c testcni.Call) error { return l.tryDel(n, c) }
}

// clear is a fault for a message that is said twice, or that holds what only a programmer understands.
func (l *lab) clear(err error) {
	text := errorOf(err).Msg
	if lines := strings.Split(text, "\n"); len(lines) > 1 && !strings.Contains(lines[0], "problems:") {
		l.fault("the message has several lines without being a list of problems: %q", text)
	}
	for _, odd := range []string{"main.", "Go struct", "Go value", "PluginConf", "panic", "%!", "0x", "<nil>"} {
		l.want(!strings.Contains(text, odd), "the message says %q: %s", odd, text)
	}
	l.want(strings.Count(text, "mcpnet: network") <= 1, "the message names the network twice: %s", text)
	l.want(len(text) < 1000, "the message is %d bytes long: %s", len(text), text)
}

// takeAddress has somebody that mcpnet does not know hold an address.
func (l *lab) takeAddress(ip string) {
	l.t.Helper()
	path := filepath.Join(l.IPAM(), networkName, ip)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		l.t.Fatalf("%v", err)
	}
	if err := os.WriteFile(path, []byte("somebody\r\neth0"), 0o600); err != nil {
		l.t.Fatalf("%v", err)
	}
}

func (l *lab) giveAddress(ip string) {
	l.t.Helper()
	if err := os.Remove(filepath.Join(l.IPAM(), networkName, netip.MustParseAddr(ip).String())); err != nil {
		l.t.Fatalf("%v", err)
	}
}

// wrongJSON: what cannot be read at all.
func wrongJSON(l *lab) {
	c := l.container()
	for _, text := range []string{"", "{", "[]", `"text"`, "7", "null", "\x00\xff", `{"name": "conformance", "cniVersion": "1.0.0", "type": `, strings.Repeat("[", 20000)} {
		for _, verb := range []string{"ADD", "DEL", "CHECK", "GC", "STATUS"} {
			_, err := l.exec(l.s.plugin, verb, []byte(text), c.call())
			code := badDecode
			if text == "null" { // reads as an object without a name
				code = badConf
			}
			l.refused(err, code, fmt.Sprintf("%s with %.40q", verb, text))
		}
	}
	l.nothingLeft("after what is not JSON")
}

// wrongProtocol: what the specification asks of every call.
func wrongProtocol(l *lab) {
	c := l.container()
	good := c.call()
	for _, of := range []struct {
		what string
		verb string
		more entry
		call testcni.Call
		code uint
		says string
	}{
		{"no name", "ADD", entry{"name": ""}, good, badConf, "name"},
		{"a name that is a path", "ADD", entry{"name": "../../x"}, good, badConf, "name"},
		{"a command that there is not", "MOVE", nil, good, badEnv, "MOVE"},
		{"no container", "ADD", nil, testcni.Call{NetNS: good.NetNS, IfName: "eth0"}, badEnv, "CNI_CONTAINERID"},
		{"no container", "DEL", nil, testcni.Call{NetNS: good.NetNS, IfName: "eth0"}, badEnv, "CNI_CONTAINERID"},
		{"a container that is a path", "ADD", nil, testcni.Call{ID: "../x", NetNS: good.NetNS, IfName: "eth0"}, badEnv, "../x"},
		{"no interface name", "ADD", nil, testcni.Call{ID: c.id, NetNS: good.NetNS}, badEnv, "CNI_IFNAME"},
		{"an interface name with a slash", "ADD", nil, testcni.Call{ID: c.id, NetNS: good.NetNS, IfName: "a/b"}, badEnv, "interface"},
		{"an interface name that is too long", "ADD", nil, testcni.Call{ID: c.id, NetNS: good.NetNS, IfName: "sixteen-letters0"}, badEnv, "interface"},
		{"no namespace", "CHECK", nil, testcni.Call{ID: c.id, IfName: "eth0"}, badEnv, "CNI_NETNS"},
		{"no cniVersion", "ADD", entry{"cniVersion": "9.0.0"}, good, badVersion, "9.0.0"},
	} {
		_, err := l.bare(of.verb, of.call, of.more)
		l.refused(err, of.code, of.verb+" with "+of.what, of.says)
	}
	l.nothingLeft("after calls that the specification forbids")
}
