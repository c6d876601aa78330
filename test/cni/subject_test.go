package cni

import (
	"encoding/json"
	"fmt"
	"maps"
	"testing"
)

// subject is a plugin under test, with what it is expected to do where the specification leaves the choice.
type subject struct {
	name   string
	plugin string         // the program under test: the entry of the list with this type
	list   func() []entry // a network's plugins; $IPAM stands for a directory of the test's

	supports []string // versions of the specification
	bridge   string   // interface name of the network's bridge
	keeps    []string // interfaces of the host that stay when the last container has left
	cidr     bool     // a container's address has the subnet's length, and not the length of one address
	guards   bool     // traffic is held by nftables rules, which CHECK looks at
	policy   bool     // it has mcpnet's configuration and errors
	chained  bool     // another plugin of the list makes the interface
	undoes   bool     // a failing ADD leaves nothing, before the DEL that a runtime has to send
	older    bool     // it works as on a kernel without chains for devices of a prefix (before Linux 6.16)
	survives bool     // a DEL without the namespace's path takes the interface out of a living container

	deviates []deviation
}

// deviation is where a subject is known not to do what a row asks for.
type deviation struct {
	row   string
	shows string // part of the fault
	why   string
	maybe bool // it depends on the moment
}

// vague rows are refused with code 999, "internal error", in a message that names neither the network nor what is
// wrong.
func vague(rows ...string) (out []deviation) {
	for _, r := range rows {
		out = append(out, deviation{row: "wrong input: " + r, shows: "code 999 instead of", why: "the bridge plugin returns plain errors"},
			deviation{row: "wrong input: " + r, shows: "the message does not say", why: "the bridge plugin returns plain errors"})
	}
	return out
}

// The deviations of the reference bridge plugin and of host-local behind it, which is the chained subject's, too,
// where the bridge plugin comes first.
const (
	noGC     = "the bridge plugin and host-local have no GC (their main functions leave it to be done)"
	noStatus = "host-local has no STATUS (its main function leaves it to be done), so that the bridge plugin's asks nobody"
	byName   = "the bridge plugin's DEL removes whatever has the interface's name in the container"
	ownPort  = "the bridge plugin's CHECK wants the port on its bridge, and a server's wire is on none: use disableCheck in such a list"
	orphans  = "the bridge plugin runs host-local as a process of its own, which goes on when the bridge plugin is killed"
	zeroMAC  = "the bridge plugin cannot use a bridge that lost its last port before it got its address: the hardware address is zero then"
	bridge1  = "the bridge plugin comes first and reads CNI_ARGS"
	parallel = "the bridge plugin's DEL fails when another takes the interface away meanwhile; runtimes must not do that"
	newMAC   = "the bridge plugin gives the next holder of an address another hardware address, and neighbours keep the old one for up to 45 s (base_reachable_time)"
	readable = "the bridge plugin's DEL wants a configuration that is right"

	twoAnswers = "the bridge plugin attaches the host to itself, prints the result, and the library an error behind it"
)

var controlDeviates = append([]deviation{
	{row: "GC removes attachments that the runtime does not know", shows: "an attachment that GC should have removed reaches the gateway", why: noGC},
	{row: "GC gives addresses back", shows: "is still taken", why: noGC},
	{row: "GC of everything", shows: "left: address", why: noGC},
	{row: "GC of everything", shows: "left: link", why: noGC},
	{row: "STATUS when IPAM has no place for its files", shows: "STATUS: accepted", why: noStatus},
	{row: "CHECK without prevResult", shows: "code 999 instead of 7", why: "the bridge plugin returns plain errors"},
	{row: "DEL leaves an interface of that name which it did not make", shows: "Link not found", why: byName},
	{row: "ADD after a failed ADD", shows: "could not set bridge's mac: invalid argument", why: zeroMAC},
	{row: "CNI_ARGS: unknown, without IgnoreUnknown", shows: "code 999 instead of 4", why: "the bridge plugin returns plain errors"},
	{row: "CNI_ARGS: unknown, without IgnoreUnknown", shows: "does not say \"CNI_ARGS\"", why: "the bridge plugin returns plain errors"},
	{row: "kill -9 in the middle of the first ADD", shows: "left: address", why: orphans, maybe: true},
	{row: "kill -9 in the middle of the first ADD", shows: "duplicate allocation is not allowed", why: orphans, maybe: true},
	{row: "kill -9 in the middle of the first ADD", shows: "could not set bridge's mac: invalid argument", why: zeroMAC, maybe: true},
	{row: "kill -9 in the middle of an ADD beside others", shows: "left: address", why: orphans, maybe: true},
	{row: "kill -9 in the middle of an ADD beside others", shows: "duplicate allocation is not allowed", why: orphans, maybe: true},
	{row: "the same DEL from five at once", shows: "no such device", why: parallel, maybe: true},
	{row: "DEL of the gateway before its servers", shows: "traffic to the next gateway", why: newMAC, maybe: true},
	{row: "wrong input: a namespace that is a file", shows: "DEL after the refused ADD: ", why: "the bridge plugin's DEL takes a namespace that is gone, but not this"},
	{row: "wrong input: no ranges", shows: "DEL after the refused ADD: ", why: "host-local's DEL wants a configuration that is right"},
	{row: "wrong input: bridge is a number", shows: "DEL after the refused ADD: ", why: readable},
	{row: "wrong input: ipam is text", shows: "DEL after the refused ADD: ", why: readable},
	{row: "wrong input: capabilities are a list", shows: "DEL after the refused ADD: ", why: readable},
	{row: "wrong input: the host's own namespace", shows: "code 0 instead of 4", why: twoAnswers},
	{row: "wrong input: the host's own namespace", shows: "the message does not say", why: twoAnswers},
}, vague("bridge is a number", "capabilities are a list", "ipam is text", "an IPAM plugin that is not there", "no ranges", "a full range", "an interface has the bridge's name",
	"a namespace that is gone", "a namespace that is a file", "an address of IPv6", "two addresses", "the bridge's address", "the subnet's own address")...)

var chainedDeviates = []deviation{
	{row: "CHECK through the list", shows: "CNI veth created for bridge cni-conf was not found", why: ownPort},
	{row: "every verb of cnitool", shows: "cnitool check", why: ownPort},
	{row: "GC gives addresses back", shows: "is still taken", why: noGC},
	{row: "GC of everything", shows: "left: address", why: noGC},
	{row: "STATUS when IPAM has no place for its files", shows: "STATUS: accepted", why: noStatus},
	{row: "DEL leaves an interface of that name which it did not make", shows: "Link not found", why: byName},
	{row: "ADD after a failed ADD", shows: "could not set bridge's mac: invalid argument", why: zeroMAC},
	{row: "CNI_ARGS: unknown, without IgnoreUnknown", shows: "code 999 instead of 4", why: bridge1},
	{row: "CNI_ARGS: unknown, without IgnoreUnknown", shows: "does not say \"CNI_ARGS\"", why: bridge1},
	{row: "kill -9 in the middle of the first ADD", shows: "left: address", why: orphans, maybe: true},
	{row: "kill -9 in the middle of the first ADD", shows: "duplicate allocation is not allowed", why: orphans, maybe: true},
	{row: "kill -9 in the middle of the first ADD", shows: "could not set bridge's mac: invalid argument", why: zeroMAC, maybe: true},
	{row: "kill -9 in the middle of an ADD beside others", shows: "left: address", why: orphans, maybe: true},
	{row: "kill -9 in the middle of an ADD beside others", shows: "duplicate allocation is not allowed", why: orphans, maybe: true},
	{row: "the same DEL from five at once", shows: "no such device", why: parallel, maybe: true},
}

// entry is a plugin's entry in a list.
type entry = map[string]any

const (
	networkName = "conformance"
	latest      = "1.1.0"

	subnet      = "172.20.0.0/16"
	bridgeAddr  = "172.20.0.1"
	gatewayAddr = "172.20.200.1" // far behind the first addresses that host-local assigns
	gatewayPort = "8080"
)

// capabilities are declared in every list; a runtime fills in those that it has something for.
func capabilities() map[string]any {
	return map[string]any{"ips": true, "mac": true, "portMappings": true, "dns": true, "bandwidth": true, "io.kubernetes.cri.pod-annotations": true}
}

func hostLocal(more entry) entry {
	e := entry{"type": "host-local", "dataDir": "$IPAM", "ranges": []any{[]any{entry{"subnet": subnet, "gateway": bridgeAddr}}}}
	maps.Copy(e, more)
	return e
}

// mcpnetPolicy leaves iptables alone: making a network takes a second of its processes where eight tests run at once,
// and test/engines has it in every network.
func mcpnetPolicy() entry {
	return entry{"gateway": gatewayAddr + ":" + gatewayPort}
}

func referenceBridge(routes ...any) entry {
	return entry{"type": "bridge", "bridge": "cni-conf", "isGateway": true, "capabilities": map[string]any{"ips": true, "mac": true},
		"ipam": hostLocal(entry{"routes": routes})}
}

var mcpnetVersions = []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"}

func mainList() []entry {
	return []entry{{"type": "mcpnet", "bridge": "mcp-secure", "policy": mcpnetPolicy(), "capabilities": capabilities(), "ipam": hostLocal(nil)}}
}

var subjects = []subject{
	{
		name: "main", plugin: "mcpnet", supports: mcpnetVersions, bridge: "mcp-secure",
		guards: true, policy: true, undoes: true, survives: true,
		list: mainList,
	},
	{
		name: "main, older kernel", plugin: "mcpnet", supports: mcpnetVersions, bridge: "mcp-secure",
		guards: true, policy: true, undoes: true, survives: true, older: true,
		list: mainList,
	},
	{
		name: "chained", plugin: "mcpnet", supports: mcpnetVersions, bridge: "cni-conf", keeps: []string{"cni-conf"},
		guards: true, policy: true, chained: true, deviates: chainedDeviates,
		list: func() []entry {
			return []entry{referenceBridge(entry{"dst": "0.0.0.0/0"}), {"type": "mcpnet", "policy": mcpnetPolicy(), "capabilities": capabilities()}}
		},
	},
	{
		name: "control", plugin: "bridge", bridge: "cni-conf", keeps: []string{"cni-conf"}, cidr: true,
		supports: []string{"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"},
		deviates: controlDeviates,
		list:     func() []entry { return []entry{referenceBridge(entry{"dst": "0.0.0.0/0"})} },
	},
}

// change changes a list.
type change func(s subject, list []entry)

// set puts a value into the entry of the plugin under test.
func set(value any, path ...string) change {
	return func(s subject, list []entry) { put(underTest(s, list), value, path) }
}

// setIPAM puts a value into the ipam of whichever entry has it.
func setIPAM(value any, path ...string) change {
	return func(_ subject, list []entry) {
		for _, e := range list {
			if ipam, ok := e["ipam"].(entry); ok {
				put(ipam, value, path)
			}
		}
	}
}

func put(e entry, value any, path []string) {
	for _, key := range path[:len(path)-1] {
		below, ok := e[key].(entry)
		if !ok {
			below = entry{}
			e[key] = below
		}
		e = below
	}
	e[path[len(path)-1]] = value
}

func underTest(s subject, list []entry) entry {
	for _, e := range list {
		if e["type"] == s.plugin {
			return e
		}
	}
	panic(fmt.Sprintf("subject %s: no plugin %s in its list", s.name, s.plugin))
}

// withoutIPTables is the subject on nftables alone, which a policy can ask for: iptables takes a dozen processes for
// each network. What it leaves is looked at where networks come and go.
func (s subject) withoutIPTables() subject {
	if s.policy {
		whole := s.list
		s.list = func() []entry {
			list := whole()
			set("nftables", "policy", "firewall")(s, list)
			return list
		}
	}
	return s
}

// changed is the subject's list with changes.
func (s subject) changed(changes ...change) []entry {
	list := s.list()
	for _, c := range changes {
		c(s, list)
	}
	return list
}

// conflist is a network's configuration as it lies in a file.
func conflist(t *testing.T, version string, plugins []entry) string {
	t.Helper()
	text, err := json.Marshal(entry{"cniVersion": version, "name": networkName, "plugins": plugins})
	if err != nil {
		t.Fatalf("conflist: %v", err)
	}
	return string(text)
}

func ranges(set ...entry) []any {
	var one []any
	for _, r := range set {
		one = append(one, r)
	}
	return []any{one}
}

func hasPolicy(s subject) bool  { return s.policy }
func hasRules(s subject) bool   { return s.guards }
func isChained(s subject) bool  { return s.chained }
func makesLinks(s subject) bool { return !s.chained }
func isMain(s subject) bool     { return s.policy && !s.chained }
