package percall_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/percall"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

const crashVariable = "MCPNET_CRASH"

// doomed is a call whose process is killed in the middle.
type doomed struct {
	name string
	role topology.Role
	ip   string // of the endpoint
	// flushed has the rules gone before, changed has the gateway at port 9090 with this call.
	flushed, changed, detaches bool
	least                      int // in how many places it has to die
}

var dooms = []doomed{
	{name: "attach-server", role: topology.RoleServer, ip: "0.7", least: 3},
	{name: "attach-gateway", role: topology.RoleGateway, ip: "0.101", least: 4},
	{name: "detach-server", role: topology.RoleServer, ip: "0.7", detaches: true, least: 2},
	{name: "change", role: topology.RoleServer, ip: "0.7", changed: true, least: 3},
	{name: "repair", role: topology.RoleServer, ip: "0.7", flushed: true, least: 3},
}

// TestSharedCrash kills the process of an attachment in each of its places, for netavark on this kernel and for CNI as
// on an older one. A wire that is up has its rules, nothing is open, and what the runtime then does has it all come
// right.
func TestSharedCrash(t *testing.T) {
	testhost.EachKernel(t, func(t *testing.T, features func(firewall.Features) firewall.Features) {
		owner := topology.OwnerCNI
		if features(firewall.Features{}).DevicePrefix {
			owner = topology.OwnerNetavark
		}
		for _, d := range dooms {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				f := newShared(t, testnet.NewWorld(t), owner)
				f.Features = features
				d.everywhere(f)
			})
		}
	})
}

// everywhere kills the call before its first step and after every one.
func (d doomed) everywhere(f *sharedFixture) {
	t, n := f.T, f.sharedNetwork(nil)
	a := f.mustAttach(n, "a", f.at("240.1"), topology.RoleServer)
	g := f.mustAttach(n, "g", f.at("0.100"), topology.RoleGateway)
	testhost.Hello(g, 8080)
	testhost.Hello(g, 9090)
	testhost.Hello(g, 22)
	testhost.Hello(a, 3000)
	f.Reaches(a, f.at("0.100/8080"), true)
	before, crashes := f.State(), 0
	for at := 1; ; at += 1 + (at+1)%2 {
		c := testnet.New(t, "b")
		if d.detaches {
			f.Check(f.attachTo(n, c, "b", f.at(d.ip), d.role))
		}
		if d.flushed {
			f.space().Run("nft", "flush", "ruleset")
		}
		died := d.killed(f, c, at)
		f.guarded()
		f.nothingOpen(c)
		f.detach(n, "b") // what every runtime does with a call that failed
		d.back(f, a)
		f.Check(f.attachTo(d.network(f), c, "b", f.at(d.ip), d.role))
		f.Reaches(a, f.at("0.100/8080"), !d.changed)
		f.Reaches(a, f.at("0.100/9090"), d.changed)
		f.wantPlan()
		f.detach(n, "b")
		d.back(f, a)
		f.Same(before)
		if t.Failed() {
			t.Fatalf("killed in place %d", at)
		}
		if !died {
			break
		}
		crashes++
	}
	if crashes < d.least {
		t.Errorf("the process died %d times, want at least %d", crashes, d.least)
	}
}

// back takes a change back, which may have been made by half: the configuration is the old one again.
func (d doomed) back(f *sharedFixture, a *testnet.NS) {
	f.T.Helper()
	if !d.changed {
		return
	}
	n := f.sharedNetwork(nil)
	f.mustAttach(n, "c", f.at("0.8"), topology.RoleServer)
	f.detach(n, "c")
	f.Reaches(a, f.at("0.100/8080"), true)
	f.Reaches(a, f.at("0.100/9090"), false)
}

// network is what the configuration says for the call.
func (d doomed) network(f *sharedFixture) topology.Network {
	if d.changed {
		return f.sharedNetwork(map[string]string{"mcpnet.gateway": f.at("0.100:9090")})
	}
	return f.sharedNetwork(nil)
}

// at is an address of the owner's network.
func (f *sharedFixture) at(rest string) string {
	whole := f.sharedNetwork(nil).Subnet.Addr().String()
	return strings.TrimSuffix(whole, "0.0") + rest
}

// guarded fails when the wire of b is up without an identity in the rules, or without its chain where it needs one.
func (f *sharedFixture) guarded() {
	f.T.Helper()
	wire := topology.Endpoint{ID: "b", Owner: f.owner}.Wire()
	if !strings.Contains(f.space().Run("ip", "-br", "link", "show", "up"), wire+"@") {
		return
	}
	known, _ := f.space().Output("sh", "-c", "nft list set netdev mcpnet anti-spoof; nft list set netdev mcpnet anti-spoof-gateway")
	if !strings.Contains(known, wire) {
		f.T.Errorf("the wire is up, and no rule knows it:\n%s", known)
	}
	if _, err := f.space().Output("nft", "list", "chain", "netdev", "mcpnet", "in-"+wire); err != nil && !f.prefix() {
		f.T.Errorf("the wire is up without its chain: %v", err)
	}
}

func (f *sharedFixture) prefix() bool { return f.Features(firewall.Features{}).DevicePrefix }

// nothingOpen asks from a container that may be half attached: it does what root there can do.
func (f *sharedFixture) nothingOpen(c *testnet.NS) {
	f.T.Helper()
	if _, err := c.Output("sh", "-c", "ip link set eth0 up && ip addr replace "+f.at("0.7/16")+" dev eth0"); err != nil {
		return // there is no interface yet
	}
	var wait sync.WaitGroup
	for _, to := range []string{"0.100/22", "240.1/3000", "0.1/22"} {
		wait.Go(func() {
			if _, err := testhost.DialFor(c, f.at(to), 150*time.Millisecond); err == nil {
				f.T.Errorf("%s is reached by a container whose attachment was killed", f.at(to))
			}
		})
	}
	wait.Wait()
}

// killed runs the call in a process that dies in the place, and tells whether it did.
func (d doomed) killed(f *sharedFixture, c *testnet.NS, at int) bool {
	f.T.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSharedCrashed$")
	cmd.Env = append(os.Environ(), crashVariable+"="+d.name, "MCPNET_CRASH_AT="+strconv.Itoa(at), "MCPNET_CRASH_OWNER="+string(f.owner),
		"MCPNET_CRASH_STORE="+f.Dir, "MCPNET_CRASH_NETNS="+f.World.Host.Path(), "MCPNET_CRASH_PINS="+f.World.Pins,
		"MCPNET_CRASH_PREFIX="+strconv.FormatBool(f.prefix()), "MCPNET_CRASH_SANDBOX="+c.Path())
	return testhost.Killed(f.T, cmd)
}

// TestSharedCrashed is the process that TestSharedCrash kills.
func TestSharedCrashed(t *testing.T) {
	name := os.Getenv(crashVariable)
	if name == "" {
		return // TestSharedCrash starts it
	}
	left, err := strconv.Atoi(os.Getenv("MCPNET_CRASH_AT"))
	if err != nil {
		t.Fatal(err)
	}
	f := newShared(t, &testnet.World{}, topology.Owner(os.Getenv("MCPNET_CRASH_OWNER")))
	e, err := percall.Open(t.Context(), percall.Config{StoreDir: os.Getenv("MCPNET_CRASH_STORE"), NetNS: os.Getenv("MCPNET_CRASH_NETNS"),
		Pins: ns.HostPins(os.Getenv("MCPNET_CRASH_PINS")), Owner: f.owner, Log: testhost.Log(t),
		Features: testhost.WithPrefix(os.Getenv("MCPNET_CRASH_PREFIX") == "true"), OnStep: func(plan.Step) {
			if left--; left == 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}})
	f.Check(err)
	for _, d := range dooms {
		switch {
		case d.name != name:
		case d.detaches:
			_, _, err = e.Detach(t.Context(), d.network(f).ID, "b")
		default:
			_, _, err = e.Attach(t.Context(), d.network(f), f.attachment("b", f.at(d.ip), d.role, os.Getenv("MCPNET_CRASH_SANDBOX")))
		}
	}
	f.Check(err)
}
