package engine_test

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

	"github.com/mcpnet/mcpnet/internal/engine"
	"github.com/mcpnet/mcpnet/internal/plan"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// crash is something that an engine is killed in the middle of.
type crash struct {
	name string
	// before is what there is before.
	before []topology.Endpoint
	bare   bool // not even the network
	// call is what the engine is killed in; the container engine repeats it or gives up and calls undo.
	call, undo func(context.Context, *engine.Engine) error
	// half is the endpoint that the call makes.
	half topology.Endpoint
	// flushed has the rules gone before the engine starts, which is then what it is killed in.
	flushed bool
	// passes says that the permitted traffic passes when the call is repeated.
	passes bool
}

func attaching(p topology.Endpoint) func(context.Context, *engine.Engine) error {
	return func(ctx context.Context, e *engine.Engine) error {
		if _, err := e.CreateEndpoint(ctx, p); err != nil {
			return err
		}
		_, err := e.Join(ctx, p.NetworkID, p.ID)
		return err
	}
}

func detaching(p topology.Endpoint) func(context.Context, *engine.Engine) error {
	return func(ctx context.Context, e *engine.Engine) error {
		return errors.Join(e.Leave(ctx, p.NetworkID, p.ID), e.DeleteEndpoint(ctx, p.NetworkID, p.ID))
	}
}

func crashes() []crash {
	makeNetwork := func(ctx context.Context, e *engine.Engine) error { return e.CreateNetwork(ctx, groundNetwork) }
	dropNetwork := func(ctx context.Context, e *engine.Engine) error { return e.DeleteNetwork(ctx, groundNetwork.ID) }
	nothing := func(context.Context, *engine.Engine) error { return nil }
	all := []topology.Endpoint{groundGateway, groundServer, groundOther}
	return []crash{
		{name: "create-network", bare: true, call: makeNetwork, undo: dropNetwork},
		{name: "delete-network", call: dropNetwork, undo: dropNetwork},
		{name: "attach-server", before: all[:2], half: groundOther, call: attaching(groundOther), undo: detaching(groundOther), passes: true},
		{name: "detach-server", before: all, call: detaching(groundOther), undo: detaching(groundOther), passes: true},
		{name: "attach-gateway", before: all[1:], half: groundGateway, call: attaching(groundGateway), undo: detaching(groundGateway), passes: true},
		{name: "detach-gateway", before: all, call: detaching(groundGateway), undo: detaching(groundGateway)},
		{name: "promote", before: append([]topology.Endpoint{groundCandidate}, all[1:]...), undo: detaching(groundGateway), passes: true,
			call: func(ctx context.Context, e *engine.Engine) error {
				return e.Promote(ctx, groundNetwork.ID, groundGateway.ID, "asked for")
			}},
		{name: "start", before: all, flushed: true, call: nothing, undo: nothing, passes: true},
	}
}

// TestCrash kills the engine in every place of every call. Nothing may be open then, the next engine has to find its
// way, and nothing may be left when the container engine has repeated its call or given up.
func TestCrash(t *testing.T) {
	if os.Getenv(crashVariable) != "" {
		return // this process is the victim
	}
	for _, c := range crashes() {
		for _, repeat := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/repeat=%v", c.name, repeat), func(t *testing.T) {
				t.Parallel()
				// The first place is before the first step; all others are after a step.
				for at, died := 1, true; died; at += 1 + (at+1)%2 {
					t.Run(strconv.Itoa(at), func(t *testing.T) { died = c.die(newGround(t), at, repeat) })
				}
			})
		}
	}
}

// die kills the engine in one place and looks at what follows. It returns false when the call has no such place.
func (c crash) die(g *ground, at int, repeat bool) bool {
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
		s, _ := g.besiege(groundServer)
		hold = func(passes bool) { g.t.Helper(); g.holds(s, passes) }
	}
	if c.flushed {
		g.flushed = true
		g.world.Host.Run("nft", "flush", "ruleset")
	}
	died := c.victim(g, at)
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
	for _, p := range []topology.Endpoint{groundServer, groundOther, groundGateway} {
		g.check(detaching(p)(g.t.Context(), e))
	}
	g.check(e.DeleteNetwork(g.t.Context(), groundNetwork.ID))
	g.clean()
	hold(false)
	return died
}

// network leaves iptables alone, which takes most of the time, unless the call is about the network itself.
func (c crash) network() topology.Network {
	n := groundNetwork
	if len(c.before) > 0 {
		n.Policy.Firewall = policy.FirewallNFTables
	}
	return n
}

// attackHalf puts the wire of a half-made endpoint into a container that attacks at once.
func (c crash) attackHalf(g *ground) {
	g.t.Helper()
	if c.half.Role != topology.RoleServer {
		return
	}
	g.give(c.half)
	if g.boxes[c.half.ID] == nil {
		return
	}
	s, stop := g.besiege(c.half)
	defer stop()
	time.Sleep(300 * time.Millisecond)
	g.holds(s, false)
}

const crashVariable = "MCPNET_CRASH"

// victim runs the call in a process that dies in the place, and tells whether it did.
func (c crash) victim(g *ground, at int) bool {
	g.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashVictim$")
	cmd.Env = append(os.Environ(), crashVariable+"="+c.name, "MCPNET_CRASH_AT="+strconv.Itoa(at),
		"MCPNET_CRASH_STORE="+g.store, "MCPNET_CRASH_NETNS="+g.world.Host.Path())
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		g.t.Fatalf("victim: %v\n%s", err, out)
	}
	return false
}

// TestCrashVictim is the process that TestCrash kills.
func TestCrashVictim(t *testing.T) {
	name, at := os.Getenv(crashVariable), 0
	if name == "" {
		return // TestCrash starts it
	}
	left, err := strconv.Atoi(os.Getenv("MCPNET_CRASH_AT"))
	if err != nil {
		t.Fatal(err)
	}
	armed := false
	e, err := openEngine(t, os.Getenv("MCPNET_CRASH_STORE"), os.Getenv("MCPNET_CRASH_NETNS"), func(plan.Step) {
		if !armed {
			return
		}
		if at++; at == left {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
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
