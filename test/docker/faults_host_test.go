package docker_test

import (
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// TestFaultsHost breaks on the host whatever mcpnet has there. No promise rests on it: servers notice nothing, nor does
// a connection between a server and a gateway; a gateway's egress is interrupted until the plugin has repaired what is
// its own.
func TestFaultsHost(t *testing.T) {
	onEveryVersion(t, func(t *testing.T, version string) {
		f := newFaultLab(t, version, "mcpnet")
		f.sound()
		f.lastInForward()
		h := &hostFaults{faultLab: f, streams: f.hold(), gateway: f.inside("gateway")}
		h.intact = h.settled()
		for _, fault := range faultsOfHost {
			h.survives(fault)
		}
		h.streams.finish()
		f.sound()
		f.lastInForward()
	})
}

// hostFault is a shell line that an administrator, a firewall or a tool might run on the host.
type hostFault struct {
	name, line string
	// do is what the line cannot.
	do func()
	// silent faults are told to nobody: the kernel sends no notification that mcpnet follows, so that the next inspection
	// finds them, within ten seconds.
	silent bool
	// docker is for those that take Docker's chains, too. Whether the one that isolates bridges is still there to be asked
	// first depends on what comes first, its removal or the repair of the rule that leads there.
	docker bool
}

// noticedLimit is how long a repair may take that follows a notification, on a machine that does much else; the aim is
// 100 ms. inspectedLimit is that of one that waits for the inspection.
const (
	noticedLimit   = 3 * time.Second
	inspectedLimit = 20 * time.Second
)

var faultsOfHost = []hostFault{
	{name: "nft delete table inet", line: "nft delete table inet mcpnet"},
	{name: "nft delete chain forward", line: "nft delete chain inet mcpnet forward.mcp-secure"},
	{name: "nft delete chain input", line: "nft delete chain inet mcpnet input.mcp-secure"},
	{name: "nft delete chain postrouting", line: "nft delete chain inet mcpnet postrouting.mcp-secure"},
	{name: "nft flush chain forward", line: "nft flush chain inet mcpnet forward.mcp-secure"},
	{name: "nft flush chain postrouting", line: "nft flush chain inet mcpnet postrouting.mcp-secure"},
	{name: "foreign drop, forward", line: "nft insert rule inet mcpnet forward.mcp-secure drop"},
	{name: "foreign accept, input", line: "nft insert rule inet mcpnet input.mcp-secure accept"},
	{name: "iptables -F", line: "iptables -F"},
	{name: "iptables -F DOCKER-MCP", line: "iptables -F DOCKER-MCP"},
	{name: "iptables without the jump", line: "iptables -D FORWARD -j DOCKER-MCP"},
	{name: "iptables -F FORWARD, policy DROP", line: "iptables -P FORWARD DROP; iptables -F FORWARD"},
	{name: "iptables -t nat -F", line: "iptables -t nat -F"},
	{name: "ip6tables -F", line: "ip6tables -F"},
	{name: "uplink deleted", line: "ip link del mcp-secure"},
	{name: "uplink down", line: "ip link set mcp-secure down"},
	{name: "route deleted", line: "ip route del 172.20.0.0/16 dev mcp-secure"},
	{name: "ip_forward=0", line: "echo 0 >/proc/sys/net/ipv4/ip_forward", silent: true},
	{name: "firewalld reload", line: firewalldReload, docker: true},
	{name: "nft flush ruleset", line: "nft flush ruleset", docker: true},
	{name: "everything at once", docker: true,
		line: firewalldReload + "; nft flush ruleset; ip link del mcp-secure; iptables -P FORWARD DROP"},
}

// firewalldReload is what a reload of firewalld does to iptables, and what dockerd then puts back of its own.
const firewalldReload = `for c in iptables ip6tables; do
for t in filter nat mangle raw; do $c -t $t -F; $c -t $t -X; done; done
iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -I FORWARD -j DOCKER-USER
iptables -P FORWARD DROP`

// hostFaults is what has to go on through a fault of the host, and what has to be back after it.
type hostFaults struct {
	*faultLab
	streams *streams
	gateway *testnet.NS
	intact  []string
	// unordered says that Docker's isolation of bridges may be gone.
	unordered bool
}

var peerIndex = regexp.MustCompile(`@if\d+`)

// now is what the host shows of the network. The index of the uplink's other end tells nothing.
func (h *hostFaults) now() []string {
	lines := h.hostTraces()
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(peerIndex.ReplaceAllString(lines[i], "")), " ")
	}
	slices.Sort(lines)
	if h.unordered {
		lines = withoutIsolation(lines)
	}
	return lines
}

func withoutIsolation(lines []string) []string {
	isolates := func(line string) bool { return strings.Contains(line, "DOCKER-ISOLATION") }
	return slices.DeleteFunc(slices.Clone(lines), isolates)
}

// settled waits until two looks show the same: what the engine's list tells may still change something.
func (h *hostFaults) settled() []string {
	h.t.Helper()
	for range 50 {
		before := h.now()
		time.Sleep(100 * time.Millisecond)
		if after := h.now(); slices.Equal(before, after) && h.egress() {
			h.t.Logf("the host's part:\n%s", strings.Join(after, "\n"))
			return after
		}
	}
	h.t.Fatal("the network does not come to rest, or its gateway has no egress")
	return nil
}

// egress tells whether the gateway opens a connection to the internet now.
func (h *hostFaults) egress() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	c, err := h.gateway.Dial(ctx, "tcp", netip.AddrPortFrom(testnet.InternetHost, 443))
	if err == nil {
		c.Close()
	}
	return err == nil
}

// survives runs a fault.
func (h *hostFaults) survives(fault hostFault) {
	h.t.Helper()
	limit := noticedLimit
	if fault.silent {
		limit = inspectedLimit
	}
	if fault.docker {
		h.intact, h.unordered = withoutIsolation(h.intact), true
	}
	before, pins := h.streams.lost(), h.inode("mcp-secure")
	var began time.Time
	var egress time.Duration
	passing := h.traffic.Through(streamLimit, func() {
		fault.run(h)
		for began = time.Now(); !h.egress() && time.Since(began) < inspectedLimit; {
			time.Sleep(time.Millisecond)
		}
		egress = time.Since(began)
	})
	now := h.now()
	for !slices.Equal(now, h.intact) && time.Since(began) < inspectedLimit {
		now = h.now()
	}
	took := time.Since(began)
	h.streams.quiet(fault.name, before)
	h.t.Logf("%s: %-32s egress back %4d ms after the fault's end, all within %4d ms; %s; %d leaks",
		h.version, fault.name, egress.Milliseconds(), took.Milliseconds(), passing, len(h.traffic.Leaks()))
	if diff := cmp.Diff(h.intact, now); diff != "" || egress > limit || took > limit {
		h.t.Errorf("%s: egress back after %v, the rest after %v, limit %v: %s", fault.name, egress, took, limit, diff)
	}
	if !passing.Back || h.inode("mcp-secure") != pins {
		h.t.Errorf("%s: %s, namespace %d", fault.name, passing, h.inode("mcp-secure"))
	}
	h.held()
}

func (fault hostFault) run(h *hostFaults) {
	if fault.do != nil {
		fault.do()
		return
	}
	h.onHost(fault.line)
}

// lastInForward: the jump opens nothing that another rule closes.
func (f *faultLab) lastInForward() {
	f.t.Helper()
	var last string
	for line := range strings.Lines(f.onHost("iptables-save -t filter")) {
		if strings.HasPrefix(line, "-A FORWARD ") {
			last = strings.TrimSpace(line)
		}
	}
	if last != "-A FORWARD -j DOCKER-MCP" {
		f.t.Errorf("FORWARD ends with %q, want the jump to DOCKER-MCP", last)
	}
}
