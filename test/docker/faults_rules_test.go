package docker_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestFaultsRules takes every table, chain, rule and element of the network's namespace away, and links, or adds to
// them, under the attack of a server: what breaks passes nothing until it is repaired.
func TestFaultsRules(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		f := newFaultLab(t, version, "mcpnet")
		f.sound()
		r := newRules(f)
		for _, fault := range slices.Concat(r.tableFaults(), r.chainFaults(), r.elementFaults(), f.linkFaults()) {
			r.repaired(fault)
		}
		f.sound()
	})
}

// ruleFault is something that an administrator, a firewall or a tool might do in the network's namespace.
type ruleFault struct {
	name string
	do   func()
	// silent faults are told to nobody: the next inspection finds them, within ten seconds. A wire goes down with its
	// container, of which the engine tells, so that mcpnet follows no notifications of wires; of routing rules there are
	// none.
	silent bool
}

const (
	// ruleLimit is how long a repair may take that follows a notification; the aim is 100 ms. The machine is shared and
	// pauses: in one of a few turns the repair has to be in time.
	ruleLimit = time.Second
	ruleTurns = 3
)

// lines are faults by shell lines.
func (f *faultLab) lines(lines map[string]string, silent bool) (faults []ruleFault) {
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		faults = append(faults, ruleFault{name, func() { f.inSpace(lines[name]) }, silent})
	}
	return faults
}

func (f *faultLab) linkFaults() []ruleFault {
	told := f.lines(map[string]string{
		"bridge deleted":        "ip link del mcp-secure",
		"bridge down":           "ip link set mcp-secure down",
		"router deleted":        "ip link del mcp-router",
		"router down":           "ip link set mcp-router down",
		"router's port deleted": "ip link del mcp-rport",
		"router's port down":    "ip link set mcp-rport down",
		"router, no address":    "ip addr flush dev mcp-router",
		"uplink deleted":        "ip link del mcp-uplink",
		"uplink down":           "ip link set mcp-uplink down",
	}, false)
	return append(told, f.lines(map[string]string{
		"wire down":       "ip link set " + f.wire(faultServer) + " down",
		"gateway no port": "ip link set " + f.wire(faultGateway) + " nomaster",
		// Two at a time, which have nothing in common: each is waited for as long as an inspection takes to come.
		"server's wire of gateway's, egress finds no way": "ip link set " + f.wire(faultServer) + " group 2; ip rule del pref 40000",
	}, true)...)
}

// rules is everything that has to be back after a fault.
type rules struct {
	*faultLab
	in     *testnet.NS
	kernel *nft.Firewall
	conn   *nftables.Conn
	sets   []firewall.Set
	intact string
}

func newRules(f *faultLab) *rules {
	f.t.Helper()
	handle, err := ns.Open(f.space("mcp-secure").Path())
	if err != nil {
		f.t.Fatal(err)
	}
	p, err := policy.Parse(map[string]string{policy.KeyGateway: faultGateways})
	if err != nil {
		f.t.Fatal(err)
	}
	n := topology.Network{ID: f.network, Bridge: "mcp-secure", Subnet: netip.MustParsePrefix(faultSubnet),
		BridgeAddr: netip.MustParseAddr(faultBridge), Policy: p}
	r := &rules{faultLab: f, in: f.space("mcp-secure"), sets: firewall.CompileNetwork(n, firewall.Features{}).Sets}
	if r.kernel, err = nft.Open(handle); err != nil {
		f.t.Fatal(err)
	}
	if r.conn, err = nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(handle.FD())); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = errors.Join(r.conn.CloseLasting(), r.kernel.Close(), handle.Close()) })
	for range 100 { // what the engine's list tells may still change rules
		before := r.all()
		time.Sleep(100 * time.Millisecond)
		if r.intact = r.all(); r.intact == before {
			break
		}
	}
	f.t.Logf("intact:\n%s", r.intact)
	return r
}

// all is the rules, elements and links as text, without counters and without what rules add by themselves.
func (r *rules) all() string {
	names, links := r.links()
	s, err := r.kernel.Observe(r.sets, names)
	if err != nil {
		return err.Error()
	}
	for family, chains := range s.Chains {
		for name, ids := range chains {
			links = append(links, fmt.Sprintf("%s %s: %s", family, name, strings.Join(ids, ", ")))
		}
	}
	for name, elements := range s.Elements {
		links = append(links, fmt.Sprintf("%s: %v", name, elements))
	}
	slices.Sort(links)
	return strings.Join(links, "\n")
}

// links gives the links of the namespace in words, and their names by index.
func (r *rules) links() (names map[int]string, lines []string) {
	names = map[int]string{}
	listed, err := r.in.Links()
	if err != nil {
		return names, []string{err.Error()}
	}
	for _, l := range listed {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range listed {
		a := l.Attrs()
		lines = append(lines, fmt.Sprintf("link %s: %s, up %v, master %q, group %d, %q",
			a.Name, l.Type(), a.RawFlags&unix.IFF_UP != 0, names[a.MasterIndex], a.Group, a.Alias))
	}
	// That the handle's family is IPv4 alone leaves out IPv6 addresses, of which there are none.
	addrs, err := r.in.Handle().AddrList(nil, unix.AF_INET)
	for _, a := range addrs {
		lines = append(lines, fmt.Sprintf("address %s on %s", a.IPNet, names[a.LinkIndex]))
	}
	rules, more := r.in.Handle().RuleList(unix.AF_INET)
	for _, rule := range rules {
		lines = append(lines, "routing "+rule.String())
	}
	routes, last := r.in.Handle().RouteList(nil, unix.AF_INET)
	for _, route := range routes {
		lines = append(lines, fmt.Sprintf("route %s over %s", route.Dst, names[route.LinkIndex]))
	}
	if err := errors.Join(err, more, last); err != nil {
		lines = append(lines, err.Error())
	}
	return names, lines
}

// check ends the test on an error of the means by which it breaks things.
func (r *rules) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rules) tableFaults() []ruleFault {
	const add = "nft add element netdev mcpnet "
	mac := topology.MACFor(r.network, netip.MustParseAddr(faultGateway))
	way := mac.String() + " . " + faultGateway
	return r.lines(map[string]string{
		"flush ruleset":           "nft flush ruleset",
		"delete table netdev":     "nft delete table netdev mcpnet",
		"delete table inet":       "nft delete table inet mcpnet",
		"both tables":             "nft 'delete table netdev mcpnet; delete table inet mcpnet'",
		"another permitted tuple": add + "permitted-tcp '{ 172.20.0.100 . 9999 }'",
		"another way":             fmt.Sprintf("%sto-gateway-tcp '{ 0x%x . %s . 9999 : %q }'", add, []byte(mac), faultGateway, r.wire(faultGateway)),
		"another source":          fmt.Sprintf("%sservers '{ %q . 0x%x080045 . %s }'", add, r.wire(faultServer), []byte(mac), faultGateway),
		"another identity":        add + "anti-spoof '{ \"" + r.wire(faultServer) + "\" . " + way + " }'",
	}, false)
}

// chains are those of mcpnet's tables, in a fixed order.
func (r *rules) chains() []*nftables.Chain {
	r.t.Helper()
	chains, err := r.conn.ListChains()
	r.check(err)
	slices.SortFunc(chains, func(a, b *nftables.Chain) int { return strings.Compare(a.Name, b.Name) })
	return slices.DeleteFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name != firewall.TableName })
}

// chainFaults empty each chain, delete it if nothing refers to it, accept all in it, and take out each of its rules.
func (r *rules) chainFaults() (faults []ruleFault) {
	r.t.Helper()
	add := func(name string, do func()) {
		faults = append(faults, ruleFault{name: name, do: func() { do(); r.check(r.conn.Flush()) }})
	}
	accept := []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	for _, c := range r.chains() {
		c := &nftables.Chain{Table: c.Table, Name: c.Name, Hooknum: c.Hooknum}
		add("flush "+c.Name, func() { r.conn.FlushChain(c) })
		if c.Hooknum != nil {
			add("delete "+c.Name, func() { r.conn.DelChain(c) })
		}
		add("foreign accept in "+c.Name, func() {
			r.conn.InsertRule(&nftables.Rule{Table: c.Table, Chain: c, Exprs: accept})
		})
		for i := range r.rulesOf(c) {
			add(fmt.Sprintf("rule %d of %s", i, c.Name), func() { r.check(r.conn.DelRule(r.rulesOf(c)[i])) })
		}
	}
	return faults
}

func (r *rules) rulesOf(c *nftables.Chain) []*nftables.Rule {
	r.t.Helper()
	found, err := r.conn.GetRules(c.Table, c)
	r.check(err)
	return found
}

// elementFaults take out each element of each set and map, and all of them.
func (r *rules) elementFaults() (faults []ruleFault) {
	r.t.Helper()
	for _, s := range r.sets {
		if s.Dynamic {
			continue
		}
		elements := r.elementsOf(s)
		for i := range elements {
			faults = append(faults, ruleFault{name: fmt.Sprintf("element %d of %s", i, s.Name), do: func() {
				r.check(r.conn.SetDeleteElements(r.set(s), r.elementsOf(s)[i:i+1]))
				r.check(r.conn.Flush())
			}})
		}
		if len(elements) > 1 {
			faults = append(faults, ruleFault{name: "flush " + s.Name, do: func() {
				r.conn.FlushSet(r.set(s))
				r.check(r.conn.Flush())
			}})
		}
	}
	return faults
}

func (r *rules) set(s firewall.Set) *nftables.Set {
	r.t.Helper()
	table := &nftables.Table{Family: nftables.TableFamilyNetdev, Name: firewall.TableName}
	if s.Family == firewall.Inet {
		table.Family = nftables.TableFamilyINet
	}
	found, err := r.conn.GetSetByName(table, s.Name)
	r.check(err)
	return found
}

func (r *rules) elementsOf(s firewall.Set) []nftables.SetElement {
	r.t.Helper()
	found, err := r.conn.GetSetElements(r.set(s))
	r.check(err)
	return found
}

// repaired runs a fault and measures until everything is as it was.
func (r *rules) repaired(fault ruleFault) {
	r.t.Helper()
	if fault.silent {
		r.turn(fault, inspectedLimit)
		return
	}
	var took time.Duration
	for range ruleTurns {
		if took = r.turn(fault, inspectedLimit); took <= ruleLimit {
			return
		}
	}
	r.t.Errorf("%s: repaired after %v, %d times in a row; limit %v", fault.name, took, ruleTurns, ruleLimit)
}

func (r *rules) turn(fault ruleFault, limit time.Duration) (took time.Duration) {
	r.t.Helper()
	o := r.traffic.Through(limit, func() {
		fault.do()
		began := time.Now()
		now := r.all()
		for ; now != r.intact && time.Since(began) < limit; now = r.all() {
			time.Sleep(time.Millisecond)
		}
		if took = time.Since(began); now != r.intact {
			r.t.Errorf("%s: not repaired after %v: %s", fault.name, limit, cmp.Diff(r.intact, now))
			r.intact = now
		}
	})
	r.t.Logf("%s: %-36s repaired after %5.1f ms; %s; %d leaks",
		r.version, fault.name, took.Seconds()*1000, o, len(r.traffic.Leaks()))
	if !o.Back {
		r.t.Errorf("%s: %s", fault.name, o)
	}
	return took
}
