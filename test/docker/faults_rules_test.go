package docker_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/firewall/nft"
	"github.com/mcpnet/mcpnet/internal/ns"
)

// ruleLimit is how long a repair may take on a machine that does much else; the promise is 100 ms.
const ruleLimit = 20 * time.Second

// TestFaultsRules takes rules, elements and links away, or adds to them, under the attack of a server.
func TestFaultsRules(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		f := newFaultLab(t, version, "mcpnet")
		f.sound()
		r := newRules(f)
		for _, fault := range ruleFaults(f) {
			r.repaired(fault)
		}
		f.sound()
	})
}

// ruleFault is a shell line that an administrator, a firewall or a tool might run on the host.
type ruleFault struct {
	name, line string
	flush      bool // takes all of nftables, and with it the second lock
}

func ruleFaults(f *faultLab) []ruleFault {
	server, gateway := "in-"+f.wire(faultServer), "in-"+f.wire(faultGateway)
	handle := func(chain string) string {
		return fmt.Sprintf("$(nft -a list chain netdev mcpnet %s | sed -n 's/.* handle \\([0-9]*\\)$/\\1/p' | sed -n 2p)", chain)
	}
	way := "$(nft list map netdev mcpnet mcp-secure.port | sed -n 's/.*\\(02:[0-9a-f:]* . 172[0-9.]*\\) :.*/\\1/p')"
	return []ruleFault{
		{name: "flush ruleset", line: "nft flush ruleset", flush: true},
		{name: "delete table netdev", line: "nft delete table netdev mcpnet"},
		{name: "delete table inet", line: "nft delete table inet mcpnet"},
		{name: "both tables", line: "nft 'delete table netdev mcpnet; delete table inet mcpnet'"},
		{name: "flush DOCKER-MCP", line: "nft flush chain netdev mcpnet DOCKER-MCP.mcp-secure"},
		{name: "delete the server's chain", line: "nft delete chain netdev mcpnet " + server},
		{name: "delete the gateway's chain", line: "nft delete chain netdev mcpnet " + gateway},
		{name: "delete a rule of the server's", line: "nft delete rule netdev mcpnet " + server + " handle " + handle(server)},
		{name: "delete a rule of DOCKER-MCP", line: "nft delete rule netdev mcpnet DOCKER-MCP.mcp-secure handle " + handle("DOCKER-MCP.mcp-secure")},
		{name: "delete the gateway's element", line: "nft delete element netdev mcpnet mcp-secure.port \"{ " + way + " }\""},
		{name: "delete the permitted tuple", line: "nft delete element netdev mcpnet mcp-secure.tcp '{ 172.20.0.100 . 8080 }'"},
		{name: "another permitted tuple", line: "nft add element netdev mcpnet mcp-secure.tcp '{ 172.20.0.100 . 9090 }'"},
		{name: "delete the gateway's MAC", line: "nft delete element netdev mcpnet mcp-secure.gateway-mac '{ 172.20.0.100 }'"},
		{name: "foreign accept, server's chain", line: "nft insert rule netdev mcpnet " + server + " accept"},
		{name: "foreign accept, DOCKER-MCP", line: "nft insert rule netdev mcpnet DOCKER-MCP.mcp-secure accept"},
		{name: "foreign accept, forward", line: "nft insert rule inet mcpnet forward accept"},
		{name: "iptables -F", line: "iptables -F"},
		{name: "iptables -F DOCKER-MCP", line: "iptables -F DOCKER-MCP"},
		{name: "iptables -t nat -F", line: "iptables -t nat -F"},
		{name: "iptables without the jump", line: "iptables -D DOCKER-USER -j DOCKER-MCP || iptables -D FORWARD -j DOCKER-MCP"},
		{name: "ip6tables -F", line: "ip6tables -F"},
		{name: "firewalld reload", line: firewalldReload},
		{name: "bridge deleted", line: "ip link del mcp-secure"},
		{name: "bridge down", line: "ip link set mcp-secure down"},
		{name: "bridge without address", line: "ip addr flush dev mcp-secure"},
		{name: "gateway no port", line: "ip link set " + f.wire(faultGateway) + " nomaster"},
		{name: "wire down", line: "ip link set " + f.wire(faultServer) + " down"},
	}
}

// firewalldReload is what a reload of firewalld does to iptables, and what dockerd then puts back of its own.
const firewalldReload = `for t in filter nat mangle raw; do iptables -t $t -F; iptables -t $t -X; ip6tables -t $t -F; ip6tables -t $t -X; done
iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -I FORWARD -j DOCKER-USER; iptables -P FORWARD DROP`

// rules is everything that has to be back after a fault.
type rules struct {
	*faultLab
	kernel *nft.Firewall
	intact string
}

func newRules(f *faultLab) *rules {
	f.t.Helper()
	handle, err := ns.Open(f.world.Host.Path())
	if err != nil {
		f.t.Fatal(err)
	}
	r := &rules{faultLab: f}
	if r.kernel, err = nft.Open(handle); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = errors.Join(r.kernel.Close(), handle.Close()) })
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

// all is the rules and links as text, without counters.
func (r *rules) all() string { return r.nftables() + r.iptables() + r.links() }

func (r *rules) nftables() string {
	s, err := r.kernel.Observe()
	if err != nil {
		return err.Error()
	}
	var out []string
	for family, chains := range s.Chains {
		for _, name := range slices.Sorted(maps.Keys(chains)) {
			out = append(out, fmt.Sprintf("%s %s: %s\n", family, name, strings.Join(chains[name], ", ")))
		}
	}
	slices.Sort(out)
	for _, name := range slices.Sorted(maps.Keys(s.Elements)) {
		out = append(out, fmt.Sprintf("%s: %d\n", name, s.Elements[name]))
	}
	return strings.Join(out, "")
}

func (r *rules) iptables() string {
	// Without dockerd's DOCKER-USER the jump stands in FORWARD.
	return r.onHost("{ iptables-save | sed 's/^/4 /'; ip6tables-save | sed 's/^/6 /'; } | grep -e '-A .*MC[P]' | sed 's/-A FORWARD -j/-A DOCKER-USER -j/' | sort -u") + "\n"
}

func (r *rules) links() string {
	return r.onHost("ip -br link show master mcp-secure; ip -br addr show mcp-secure | cut -d' ' -f1-; ip -br link | grep mcpw | awk '{print $1,$2}'")
}

// repaired runs a fault and measures until everything is as it was: nftables alone, then the rest.
func (r *rules) repaired(fault ruleFault) {
	r.t.Helper()
	r.flushed = r.flushed || fault.flush
	kernel, _, _ := strings.Cut(r.intact, "4 -A")
	var began time.Time
	var nftables time.Duration
	o := r.traffic.Through(ruleLimit, func() {
		r.onHost(fault.line)
		began = time.Now()
		for r.nftables() != kernel && time.Since(began) < ruleLimit {
			time.Sleep(time.Millisecond)
		}
		nftables = time.Since(began)
	})
	for now := r.all(); now != r.intact; now = r.all() {
		if time.Since(began) > ruleLimit {
			r.t.Errorf("%s: not repaired after %v: %s", fault.name, ruleLimit, cmp.Diff(r.intact, now))
			r.intact = now
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Logf("%s: %-32s nftables back after %5.1f ms, all within %4d ms; %s; %d leaks", r.version, fault.name,
		nftables.Seconds()*1000, time.Since(began).Milliseconds(), o, len(r.traffic.Leaks()))
	if !o.Back {
		r.t.Errorf("%s: %s", fault.name, o)
	}
}
