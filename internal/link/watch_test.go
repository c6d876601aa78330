package link_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/topology"
)

// TestWatch: what a network needs is missed at once; wires and foreign links come and go without a word.
func TestWatch(t *testing.T) {
	s, c := open(t, "net"), open(t, "container")
	check(t, s.EnsureBridge(bridge()))
	check(t, s.EnsureRouter(routerOf()))
	_, err := s.AddWire(wire(), c.handle)
	check(t, err)
	check(t, s.Up(wire().Name))
	s.AddBridge("foreign", "192.0.2.1/24")
	seen := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func() { seen <- struct{}{} }) }()
	for started := false; !started; {
		s.Run("ip", "link", "set", topology.Router, "down")
		s.Run("ip", "link", "set", topology.Router, "up")
		select {
		case <-seen:
			started = true
		case <-time.After(50 * time.Millisecond):
		}
	}
	for _, command := range []string{"link set " + wire().Name + " down", "link del " + wire().Name,
		"link set foreign down", "link del foreign",
		"link set mcp-secure mtu 1300"} {
		drain(seen)
		s.Run("ip", strings.Fields(command)...)
		if told(seen, 100*time.Millisecond) && !strings.Contains(command, "foreign") {
			t.Errorf("%s is reported", command)
		}
	}
	s.Run("ip", "addr", "add", "192.0.2.1/24", "dev", topology.Router)
	for _, route := range []string{"172.22.0.0/16 via 169.254.1.1 dev mcp-router onlink", "172.21.0.0/16 via 192.0.2.2"} {
		s.Run("ip", append([]string{"route", "add"}, strings.Fields(route)...)...)
	}
	drain(seen)
	s.Run("ip", "route", "del", "172.21.0.0/16")
	if told(seen, 100*time.Millisecond) {
		t.Error("somebody's route is reported")
	}
	for _, command := range []string{"route del 172.22.0.0/16", "link set mcp-secure down", "addr add 192.0.2.9/24 dev mcp-router",
		"addr flush dev mcp-router", "link set mcp-rport down", "link del mcp-router",
		"link del mcp-secure"} {
		drain(seen)
		s.Run("ip", strings.Fields(command)...)
		if !told(seen, 2*time.Second) {
			t.Errorf("%s is not seen", command)
		}
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
		t.Error("goes on after its context ended")
	}
}

func told(seen chan struct{}, patience time.Duration) bool {
	select {
	case <-seen:
		return true
	case <-time.After(patience):
		return false
	}
}

func drain(c chan struct{}) {
	time.Sleep(5 * time.Millisecond)
	for len(c) > 0 {
		<-c
	}
}
