package resident_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// managed is a host with a network, and on it a server, a gateway and a connection between the two, beside something
// that manages the host's network.
type managed struct {
	*testhost.Docker
	firewalls       *testengine.Firewalls // nil where the test has another
	server, gateway *testnet.NS
	stream          *testhost.Stream
	uplinks         atomic.Int64 // how often the uplink was made or mended
}

// furnish makes the network on a host that is there.
func furnish(t *testing.T, on *testhost.Docker) *managed {
	t.Helper()
	h := &managed{Docker: on}
	h.OnStep = func(s plan.Step) {
		if _, is := s.Action.(plan.EnsureUplink); is {
			h.uplinks.Add(1)
		}
	}
	h.Open()
	h.Network(testhost.OneGateway)
	h.server = h.Container("s", "172.20.240.1", topology.RoleServer)
	h.gateway = h.Container("g", "172.20.0.100", topology.RoleGateway)
	serve(t, h.World.Internet, 443)
	serve(t, h.World.Host, 22)
	h.stream = testhost.OpenStream(t, h.server, h.gateway, "172.20.0.100:8080")
	return h
}

// newManaged is a host with the firewalls of Debian at hand, whose network somebody watches.
func newManaged(t *testing.T) *managed {
	t.Helper()
	h := furnish(t, &testhost.Docker{T: t, World: testnet.NewWorld(t), Dir: t.TempDir()})
	h.firewalls = testengine.OpenFirewalls(t, testengine.SelectedFirewalld()[0], h.World.Host.Path())
	watch(t, h.Front)
	return h
}

// survives does something to the host's firewall: what holds a moment later has to be whole.
func (h *managed) survives(fault string, do func()) {
	h.T.Helper()
	do()
	took := testhost.Within(h.T, 20*time.Second, fault+": egress", func() bool { return egress(h.gateway) })
	h.T.Logf("%s: egress back %v after it", fault, took.Round(time.Millisecond))
	h.holds(fault)
}

// holds fails unless servers are as ever, and gateways reach nothing of the host.
func (h *managed) holds(fault string) {
	h.T.Helper()
	h.stream.Moves(time.Second)
	h.Reaches(h.server, "172.20.0.100/22", false)
	testhost.Unreachable(h.T, h.server, "198.51.100.2/443")
	if _, err := testhost.DialFor(h.gateway, "198.51.100.1/22", time.Second); err == nil {
		h.T.Errorf("%s: the gateway reaches the host", fault)
	}
}

// TestUFW: a real ufw, which drops what the host forwards, comes, is loaded anew and goes. What an administrator denies
// with it is denied to gateways, too.
func TestUFW(t *testing.T) {
	t.Parallel()
	h := newManaged(t)
	h.survives("ufw enable", func() { h.firewalls.Run("ufw", "--force", "enable") })
	if rules := h.World.Host.Run("iptables-save"); !strings.Contains(rules, ":FORWARD DROP") {
		t.Fatalf("ufw does not filter:\n%s", rules)
	}
	h.firewalls.Run("ufw", "route", "deny", "out", "on", testnet.Uplink)
	h.Check(h.Front.Inspect(t.Context()))
	h.holds("ufw route deny")
	if egress(h.gateway) {
		t.Errorf("egress in spite of ufw's rule:\n%s", h.World.Host.Run("iptables", "-S", "FORWARD"))
	}
	h.survives("ufw route delete", func() {
		h.firewalls.Run("ufw", "route", "delete", "deny", "out", "on", testnet.Uplink)
	})
	h.survives("ufw reload", func() { h.firewalls.Run("ufw", "reload") })
	h.survives("ufw disable", func() { h.firewalls.Run("ufw", "disable") })
	h.stream.Finish()
}

// besidesOthers is how long mcpnet may need after a change, on a machine that does much else.
const besidesOthers = 3 * time.Second

// TestNetworkd: a systemd-networkd that is told to take every link takes the uplink, too, and removes the route that it
// did not set itself when it does so again. The gateway keeps its egress. The file that the pages show keeps it off.
func TestNetworkd(t *testing.T) {
	t.Parallel()
	h := newManaged(t)
	h.firewalls.StartBus()
	h.firewalls.Run("sh", "-c", `mkdir -p /run/systemd; cd /etc/systemd/network
printf '[Match]\nName=*\n[Network]\nDHCP=yes\n' > 90-all.network
mount -o remount,ro /sys # there is no udev`)
	h.survives("networkd", func() { h.firewalls.Start(h.networkd("90-all.network"), "/lib/systemd/systemd-networkd") })
	before := h.uplinks.Load()
	h.firewalls.Run("networkctl", "reconfigure", "mcp-secure")
	h.survives("networkd takes the uplink again", func() {
		testhost.Within(t, besidesOthers, "the route that networkd removes is back",
			func() bool { return h.uplinks.Load() >= before+2 })
	})
	h.firewalls.Run("sh", "-c", `cd /etc/systemd/network
printf '[Match]\nName=mcp-secure\n[Link]\nUnmanaged=yes\n' > 05-mcp-secure.network
networkctl reload`)
	h.survives("networkd leaves the uplink alone", func() {
		testhost.Within(t, besidesOthers, "unmanaged", func() bool { return h.networkd("unmanaged")() == nil })
	})
	h.stream.Finish()
}

// networkd wants networkd's state of the uplink to say something.
func (h *managed) networkd(says string) func() error {
	return func() error {
		state, err := h.firewalls.Exec("networkctl", "status", "mcp-secure")
		if err == nil && !strings.Contains(state, says) {
			err = errors.New(state)
		}
		return err
	}
}

// TestNFTablesService: Debian's nftables.service is started anew, which flushes everything and loads a file. Where the
// file drops what the host forwards, a gateway has no egress until the file lets its uplink pass: no acceptance of
// mcpnet's overrides it. Servers notice nothing.
func TestNFTablesService(t *testing.T) {
	t.Parallel()
	h := newManaged(t)
	restart := func() {
		h.firewalls.Run("nft", "flush", "ruleset")
		h.firewalls.Run("nft", "-f", "/etc/nftables.conf")
	}
	h.survives("nftables.service", restart)
	h.firewalls.Run("sed", "-i", "s/hook forward priority filter;/& policy drop;/", "/etc/nftables.conf")
	restart()
	h.Check(h.Front.Inspect(t.Context()))
	h.holds("nftables.service, which drops")
	if egress(h.gateway) {
		t.Error("egress in spite of a file that drops what is forwarded")
	}
	h.survives("a rule for the uplink", func() {
		for _, rule := range []string{"iifname mcp-secure accept", "oifname mcp-secure ct state established,related accept"} {
			h.firewalls.Run("sh", "-c", "nft add rule inet filter forward "+rule)
		}
	})
	h.stream.Finish()
}
