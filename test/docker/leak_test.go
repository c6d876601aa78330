package docker_test

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// rival is a network of Docker's own that a user might take for the same thing.
type rival struct {
	name    string
	row     string // of the table in docs/guarantees.md
	version string // the engine it needs; empty: every one
	options []string
}

// rivals are the control here: vectors have to get through them, on the same engine and in the same containers.
var rivals = []rival{
	{name: "bridge", row: "bridge "},
	{name: "internal", row: "bridge, `--internal` ", options: []string{"--internal"}},
	{name: "isolated", row: "bridge, `--internal`, gateway mode `isolated` ", version: "28.5", options: []string{"--internal", "-o", "com.docker.network.bridge.gateway_mode_ipv4=isolated"}},
}

// TestLeaks attacks from the seat of root in a real server container, on mcpnet and on Docker's own networks.
func TestLeaks(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, l *lab) {
		victim := l.world.NewVictim()
		l.createNetwork("--gateway", leak.BridgeAddr.String(), "-o", "com.docker.network.bridge.name="+leakBridge)
		seat := l.seat(victim, "mcpnet", "mcp-secure")
		seat.Space = l.space(leakBridge)
		report := leak.Run(t, seat)
		l.clear("mcp-secure")

		reports := []leak.Report{report}
		for _, r := range rivals {
			if r.version == "" || r.version == l.version {
				control := l.attackRival(victim, r)
				reports = append(reports, control)
				l.wantDocumented(control, r)
			}
		}
		t.Logf("\n%s", leak.Table(reports...))
		for _, broken := range report.Broken() {
			t.Error(broken)
		}
	})
}

// wantDocumented holds what gets through a network of Docker's own to the number on the page. A version that the page
// does not have lets some through at least, or the vectors prove nothing there.
func (l *lab) wantDocumented(control leak.Report, r rival) {
	l.t.Helper()
	leaks := len(control.Leaks())
	if leaks == 0 {
		l.t.Errorf("Docker's %s network leaks nothing: the vectors prove nothing here", r.name)
	}
	if want, err := leak.Documented(r.row, "Docker "+l.version); err == nil && want != strconv.Itoa(leaks) {
		l.t.Errorf("Docker's %s network leaks %d of the vectors, docs/guarantees.md says %s", r.name, leaks, want)
	}
}

// leakBridge is the bridge of whatever network is attacked.
const leakBridge = "attacked0"

func (l *lab) attackRival(victim *testnet.NS, r rival) leak.Report {
	l.t.Helper()
	l.MustDocker(append(append([]string{"network", "create", "--subnet", leak.Subnet.String(), "--gateway", leak.BridgeAddr.String(),
		"-o", "com.docker.network.bridge.name=" + leakBridge}, r.options...), r.name+"-net")...)
	defer l.clear(r.name + "-net")
	return leak.Run(l.t, l.seat(victim, r.name, r.name+"-net"))
}

// seat starts a gateway and two servers on a network; the attacker sits in one of the servers.
func (l *lab) seat(victim *testnet.NS, name, network string) leak.Seat {
	l.t.Helper()
	member := func(container string, ip netip.Addr) leak.Member {
		l.run(container, "exec sleep 1000", "--network", network, "--ip", ip.String())
		return leak.Member{NS: testnet.FromPath(l.t, l.ContainerNetNS(container)), Link: "eth0", IP: ip}
	}
	return leak.Seat{Name: name, World: l.world, Victim: victim, Bridge: leakBridge, BridgeIP: leak.BridgeAddr, Subnet: leak.Subnet, Port: leak.GatewayPort,
		Gateway: member("gateway", leak.GatewayIP), Attacker: member("attacker", leak.AttackerIP), Neighbour: member("neighbour", leak.PeerIP)}
}

func (l *lab) clear(network string) {
	l.t.Helper()
	l.MustDocker("rm", "-f", "gateway", "attacker", "neighbour")
	l.MustDocker("network", "rm", network)
}
