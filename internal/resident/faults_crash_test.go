package resident_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/resident"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// crash is something that an engine is killed in the middle of.
type crash struct {
	name string
	// before is what there is before.
	before []topology.Endpoint
	bare   bool // not even the network
	// call is what the engine is killed in; the container engine repeats it or gives up and calls undo.
	call, undo func(context.Context, *resident.Front) error
	// half is the endpoint that the call makes.
	half topology.Endpoint
	// flushed has the rules gone before the engine starts, which is then what it is killed in.
	flushed bool
	// least is in how many places the engine has to die, so that a call which does nothing does not pass.
	least int
	// passes says that the permitted traffic passes when the call is repeated.
	passes bool
}

func attaching(p topology.Endpoint) func(context.Context, *resident.Front) error {
	return func(ctx context.Context, e *resident.Front) error {
		if _, err := e.CreateEndpoint(ctx, p); err != nil {
			return err
		}
		_, err := e.Join(ctx, p.NetworkID, p.ID)
		return err
	}
}

func detaching(p topology.Endpoint) func(context.Context, *resident.Front) error {
	return func(ctx context.Context, e *resident.Front) error {
		return errors.Join(e.Leave(ctx, p.NetworkID, p.ID), e.DeleteEndpoint(ctx, p.NetworkID, p.ID))
	}
}

func crashes() []crash {
	makeNetwork := func(ctx context.Context, e *resident.Front) error { return e.CreateNetwork(ctx, faultNetwork) }
	dropNetwork := func(ctx context.Context, e *resident.Front) error { return e.DeleteNetwork(ctx, faultNetwork.ID) }
	nothing := func(context.Context, *resident.Front) error { return nil }
	all := []topology.Endpoint{faultGateway, faultServer, faultOther}
	return []crash{
		{name: "create-network", least: 5, bare: true, call: makeNetwork, undo: dropNetwork},
		{name: "delete-network", least: 5, call: dropNetwork, undo: dropNetwork},
		{name: "attach-server", least: 3, before: all[:2], half: faultOther, call: attaching(faultOther),
			undo: detaching(faultOther), passes: true},
		{name: "detach-server", least: 2, before: all, call: detaching(faultOther), undo: detaching(faultOther),
			passes: true},
		{name: "attach-gateway", least: 4, before: all[1:], half: faultGateway, call: attaching(faultGateway),
			undo: detaching(faultGateway), passes: true},
		{name: "detach-gateway", least: 2, before: all, call: detaching(faultGateway), undo: detaching(faultGateway)},
		{name: "promote", least: 3, before: append([]topology.Endpoint{faultCandidate}, all[1:]...),
			undo: detaching(faultGateway), passes: true,
			call: func(ctx context.Context, e *resident.Front) error {
				return e.Promote(ctx, faultNetwork.ID, faultGateway.ID, "asked for")
			}},
		{name: "start", least: 3, before: all, flushed: true, call: nothing, undo: nothing, passes: true},
	}
}

// TestCrash kills the engine in every place of every call. Nothing may be open then, the next engine has to find its
// way, and nothing may be left when the container engine has repeated its call or given up.
func TestCrash(t *testing.T) {
	if os.Getenv(crashVariable) != "" {
		return // this process is the one that is killed
	}
	for _, c := range crashes() {
		for _, prefix := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/prefix=%v", c.name, prefix), func(t *testing.T) {
				t.Parallel()
				c.dieEverywhere(t, prefix)
			})
		}
	}
}

// dieEverywhere kills the engine in one place after the other, until the call has no more. The first place is before
// the first step; all others are after a step. In every other place the container engine repeats the call, in the
// others it gives up; with the other kind of kernel it is the other way round.
func (c crash) dieEverywhere(t *testing.T, prefix bool) {
	crashes, repeat := 0, prefix
	for at, died := 1, true; died; at, repeat = at+1+(at+1)%2, !repeat {
		died = false
		t.Run(fmt.Sprintf("%d/repeat=%v", at, repeat), func(t *testing.T) {
			g := newFaultHost(t)
			g.prefix = prefix
			if died = c.die(g, at, repeat); died {
				crashes++
			}
		})
	}
	if t.Logf("%d crashes", crashes); crashes < c.least {
		t.Errorf("the engine died %d times, want at least %d", crashes, c.least)
	}
}

// die kills the engine in one place and looks at what follows. It returns false when the call has no such place.
func (c crash) die(g *faultHost, at int, repeat bool) bool {
	e := g.open()
	if !c.bare {
		g.check(e.CreateNetwork(g.t.Context(), c.network()))
	}
	for _, p := range c.before {
		g.attach(e, p)
	}
	g.check(e.Close())
	hold := func(bool) {}
	if len(g.boxes) > 0 {
		s, _ := g.attack(faultServer)
		hold = func(passes bool) { g.t.Helper(); g.holds(s, passes) }
	}
	if c.flushed {
		g.flushed = true
		g.world.Host.Run("nft", "flush", "ruleset")
		g.space().Run("nft", "flush", "ruleset")
	}
	died := c.killed(g, at)
	if died {
		c.attackHalf(g)
	}
	e = g.open()
	defer func() { g.check(e.Close()) }()
	g.settled(e)
	hold(false)
	if repeat {
		g.check(c.call(g.t.Context(), e))
		g.check(c.call(g.t.Context(), e))
		g.give(c.half)
		g.settled(e)
		hold(c.passes)
	}
	g.check(c.undo(g.t.Context(), e))
	g.settled(e)
	for _, p := range []topology.Endpoint{faultServer, faultOther, faultGateway} {
		g.check(detaching(p)(g.t.Context(), e))
	}
	g.check(e.DeleteNetwork(g.t.Context(), faultNetwork.ID))
	g.clean()
	hold(false)
	return died
}

// network leaves iptables alone, which takes most of the time, unless the call is about the network itself.
func (c crash) network() topology.Network {
	n := faultNetwork
	if len(c.before) > 0 {
		n.Policy.Firewall = policy.FirewallNFTables
	}
	return n
}

// attackHalf puts the wire of a half-made endpoint into a container that attacks at once.
func (c crash) attackHalf(g *faultHost) {
	g.t.Helper()
	if c.half.Role != topology.RoleServer {
		return
	}
	g.give(c.half)
	if g.boxes[c.half.ID] == nil {
		return
	}
	s, stop := g.attack(c.half)
	defer stop()
	time.Sleep(300 * time.Millisecond)
	g.holds(s, false)
}

const crashVariable = "MCPNET_CRASH"

// killed runs the call in a process that dies in the place, and tells whether it did.
func (c crash) killed(g *faultHost, at int) bool {
	g.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashed$")
	cmd.Env = append(os.Environ(), crashVariable+"="+c.name, "MCPNET_CRASH_AT="+strconv.Itoa(at),
		"MCPNET_CRASH_STORE="+g.store, "MCPNET_CRASH_NETNS="+g.world.Host.Path(), "MCPNET_CRASH_PINS="+g.world.Pins,
		"MCPNET_CRASH_PREFIX="+strconv.FormatBool(g.prefix))
	return testhost.Killed(g.t, cmd)
}

// TestCrashed is the process that TestCrash kills.
func TestCrashed(t *testing.T) {
	name, at := os.Getenv(crashVariable), 0
	if name == "" {
		return // TestCrash starts it
	}
	left, err := strconv.Atoi(os.Getenv("MCPNET_CRASH_AT"))
	if err != nil {
		t.Fatal(err)
	}
	armed := false
	config := faultConfig(os.Getenv("MCPNET_CRASH_STORE"), os.Getenv("MCPNET_CRASH_NETNS"), os.Getenv("MCPNET_CRASH_PINS"),
		os.Getenv("MCPNET_CRASH_PREFIX") == "true")
	config.OnStep = func(plan.Step) {
		if !armed {
			return
		}
		if at++; at == left {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	}
	e, err := resident.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range crashes() {
		if c.name != name {
			continue
		}
		armed = c.flushed
		if err := e.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		armed = true
		if err := c.call(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}
