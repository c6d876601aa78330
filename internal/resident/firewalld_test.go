package resident_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/report"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// zonesLimit is how long a gateway's egress may need once firewalld is back, on a machine that does much else.
const zonesLimit = time.Second

// TestFirewalld: beside a real firewalld a gateway has egress, which firewalld's rules end at each reload and restart.
// Servers notice nothing of either, nothing of the host opens, and what an administrator says of the uplink holds.
func TestFirewalld(t *testing.T) {
	t.Parallel()
	for _, version := range testengine.SelectedFirewalld() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			testFirewalld(t, version)
		})
	}
}

func testFirewalld(t *testing.T, version string) {
	h := newZoned(t, version)
	// A firewalld that was killed leaves its rules to the next one, which makes them twice, and cannot take an interface
	// out of a zone until a reload.
	h.survives("kill and start", func() {
		h.firewalld.Kill()
		h.firewalld.Restart()
	})
	h.survives("reload", func() { h.firewalld.Cmd("--reload") })
	h.survives("restart", h.firewalld.Restart)
	h.survives("taken out of its zone", func() {
		h.firewalld.Cmd("--zone="+topology.FirewallZone, "--remove-interface=mcp-secure")
	})
	h.opensNothing()
	h.heedsZone()
	h.heedsPolicy()
	h.stream.Finish()
	h.goes()
}

// zoned is a host with a real firewalld.
type zoned struct {
	*managed
	firewalld *testengine.Firewalld
	stop      func()
}

// newZoned shows first that without mcpnet's zone the gateway has no egress, and that status says so.
func newZoned(t *testing.T, version string) *zoned {
	t.Helper()
	dir := t.TempDir()
	on := &testhost.Docker{T: t, World: testnet.NewWorld(t), Dir: dir, Bus: "unix:path=" + dir + "/bus"} // sees no bus
	daemon := testengine.StartFirewalld(t, version, on.World.Host.Path())
	h := &zoned{managed: furnish(t, on), firewalld: daemon}
	if h.egress() {
		t.Fatal("firewalld lets a gateway's egress pass without mcpnet's zone: the test would show nothing")
	}
	h.finds(false, report.CodeNoFirewalld)
	h.Close()
	h.Bus = h.firewalld.Bus()
	h.Open()
	h.finds(true, report.CodeFirewalld)
	h.pending("make zone mcpnet", "put uplink mcp-secure into zone mcpnet")
	h.stop = watch(t, h.Front)
	testhost.Within(t, 10*time.Second, "egress with a zone that firewalld has to take up", h.egress)
	return h
}

// watch repairs what goes missing until stop is called, or the test ends.
func watch(t *testing.T, front *resident.Front) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		front.Watch(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// egress tells whether a gateway opens a connection to the internet now.
func egress(gateway *testnet.NS) bool {
	_, err := testhost.DialFor(gateway, "198.51.100.2/443", 50*time.Millisecond)
	return err == nil
}

func (h *zoned) egress() bool { return egress(h.gateway) }

// finds fails unless the findings have exactly these codes, and firewalld is seen, or not.
func (h *zoned) finds(runs bool, codes ...report.Code) report.Status {
	h.T.Helper()
	s, err := h.Front.Status(h.T.Context())
	h.Check(err)
	var found []report.Code
	for _, f := range s.Findings {
		if f.Code != report.CodeDrift { // the steps of which it tells are looked at by themselves
			found = append(found, f.Code)
		}
	}
	if !slices.Equal(found, codes) || s.Layers.Firewalld != runs {
		h.T.Errorf("findings %+v, want %v; firewalld %v", s.Findings, codes, s.Layers.Firewalld)
	}
	return s
}

// pending fails unless the plan consists of steps that say this.
func (h *zoned) pending(says ...string) {
	h.T.Helper()
	steps, err := h.Front.Plan(h.T.Context())
	h.Check(err)
	for i, s := range steps {
		if i >= len(says) || !strings.Contains(s.Action, says[i]) || s.Namespace != "host" {
			h.T.Errorf("plan: %+v, want steps that say %q", steps, says)
			return
		}
	}
	if len(steps) != len(says) {
		h.T.Errorf("plan: %+v, want steps that say %q", steps, says)
	}
}

// survives does something to firewalld. It returns when firewalld answers again.
func (h *zoned) survives(fault string, do func()) {
	h.T.Helper()
	before := h.inode()
	do()
	took := testhost.Within(h.T, 20*time.Second, fault+": egress", h.egress)
	h.T.Logf("%s: egress back %v after firewalld", fault, took.Round(time.Millisecond))
	if took > zonesLimit {
		h.T.Errorf("%s: egress back after %v, limit %v", fault, took, zonesLimit)
	}
	h.stream.Moves(time.Second)
	h.Reaches(h.server, "172.20.0.100/22", false)
	testhost.Unreachable(h.T, h.server, "198.51.100.2/443")
	h.Reaches(h.gateway, "198.51.100.1/22", false)
	if h.inode() != before {
		h.T.Errorf("%s: the network's namespace was made anew", fault)
	}
	if s := h.finds(true); s.Networks[0].Zone != topology.FirewallZone {
		h.T.Errorf("%s: uplink in zone %q", fault, s.Networks[0].Zone)
	}
	h.Settled()
}

func (h *zoned) inode() uint64 {
	h.T.Helper()
	inode, err := ns.Inode(h.Space().Path())
	h.Check(err)
	return inode
}

// opensNothing: a host behind another interface of the zone reaches no service of the host. In zone trusted it does.
func (h *zoned) opensNothing() {
	h.T.Helper()
	other := testnet.New(h.T, "other")
	testnet.Connect(h.T, testnet.Port{NS: h.World.Host, Name: "other0", Addrs: []string{"10.88.0.1/24"}},
		testnet.Port{NS: other, Name: "eth0", Addrs: []string{"10.88.0.2/24"}})
	other.AddRoute(netip.Prefix{}, netip.MustParseAddr("10.88.0.1"))
	for zone, open := range map[string]bool{topology.FirewallZone: false, "trusted": true} {
		h.firewalld.Cmd("--zone="+zone, "--change-interface=other0")
		for _, to := range []string{"10.88.0.1/22", "198.51.100.1/22", "10.88.0.1/22/udp"} {
			if _, err := testhost.DialFor(other, to, time.Second); (err == nil) != open {
				h.T.Errorf("zone %s: %s answers: %v, want %v", zone, to, err == nil, open)
			}
		}
		h.firewalld.Cmd("--zone="+zone, "--remove-interface=other0")
	}
}

// heedsZone: an uplink stays in the zone that an administrator has put it into, and comes back when it is in none.
func (h *zoned) heedsZone() {
	h.T.Helper()
	for zone, passes := range map[string]bool{"block": false, "trusted": true} {
		h.firewalld.Cmd("--zone="+zone, "--change-interface=mcp-secure")
		h.Check(h.Front.Inspect(h.T.Context()))
		time.Sleep(100 * time.Millisecond) // the watch is told of it, too
		if h.egress() != passes {
			h.T.Errorf("zone %s of an administrator: egress %v, want %v", zone, !passes, passes)
		}
		if s := h.finds(true, report.CodeForeignZone); s.Networks[0].Zone != zone {
			h.T.Errorf("uplink in zone %s, want %s", s.Networks[0].Zone, zone)
		}
		h.Settled()
		h.firewalld.Cmd("--zone="+zone, "--remove-interface=mcp-secure")
		testhost.Within(h.T, zonesLimit, "egress in mcpnet's zone", h.egress)
	}
}

// heedsPolicy: what an administrator's policy closes for the zone is closed.
func (h *zoned) heedsPolicy() {
	h.T.Helper()
	h.firewalld.Cmd("--permanent", "--new-policy=closed")
	for _, setting := range []string{"--add-ingress-zone=" + topology.FirewallZone, "--add-egress-zone=ANY",
		"--set-target=REJECT"} {
		h.firewalld.Cmd("--permanent", "--policy=closed", setting)
	}
	h.firewalld.Cmd("--reload")
	h.Check(h.Front.Inspect(h.T.Context()))
	testhost.Within(h.T, zonesLimit, "uplink in its zone", func() bool {
		s, err := h.Front.Status(h.T.Context())
		return err == nil && s.Networks[0].Zone == topology.FirewallZone
	})
	if h.egress() {
		h.T.Error("egress in spite of an administrator's policy")
	}
	h.firewalld.Cmd("--permanent", "--delete-policy=closed")
	h.survives("policy removed", func() { h.firewalld.Cmd("--reload") })
}

// goes: the uplink leaves its zone with the network.
func (h *zoned) goes() {
	h.T.Helper()
	h.stop()
	h.Check(h.Front.DeleteNetwork(h.T.Context(), testhost.NetworkID))
	if left := h.firewalld.Cmd("--zone="+topology.FirewallZone, "--list-interfaces"); left != "" {
		h.T.Errorf("left in the zone: %s", left)
	}
}
