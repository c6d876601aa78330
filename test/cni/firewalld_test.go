package cni

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/testcni"
	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/test/leak"
)

// TestFirewalld: beside a real firewalld a gateway has egress from its start, without any process that stays, and the
// last container takes the uplink out of firewalld's zone.
func TestFirewalld(t *testing.T) {
	world := testnet.NewWorld(t)
	firewalld := testengine.StartFirewalld(t, "1.3", world.Host.Path())
	world.Internet.ServeHello(netip.AddrPortFrom(testnet.InternetHost, 443))
	testhost.Hello(world.Host, 22)
	for _, s := range subjects {
		if !s.policy || s.older {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			l := &lab{Host: testcni.New(t, world.Host), t: t, s: s, version: latest}
			l.net = l.network()
			if g := l.gateway(); egress(g) {
				t.Error("control: without a bus the gateway has egress")
			} else {
				l.del(g)
			}
			l.Bus = firewalld.Bus()
			g := l.gateway()
			server := l.server()
			l.succeeds(l.reaches(server, g), "the server does not reach the gateway")
			l.want(soon(g), "the gateway has no egress")
			says := answer(g, "198.51.100.1:22", leak.NewControl(l.t))
			l.want(says == "connection refused", "the gateway to the host: %s", says)
			firewalld.Cmd("--reload")
			l.want(!egress(g), "egress after a reload, and no process that would see to it")
			l.succeeds(l.reaches(server, g), "the server does not reach the gateway after a reload")
			l.del(g)
			g = l.gateway()
			l.want(soon(g), "the gateway that starts after a reload has no egress")
			l.del(server)
			l.del(g)
			left := strings.Fields(firewalld.Cmd("--zone=mcpnet", "--list-interfaces"))
			l.want(len(left) == 0, "left in the zone: %v", left)
			for _, fault := range l.faults {
				t.Error(fault)
			}
		})
	}
}

// soon gives a segment that was lost before the link had a carrier the time to be sent again. Nobody repairs anything
// meanwhile.
func soon(from member) bool {
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		if egress(from) {
			return true
		}
	}
	return false
}

func egress(from member) bool {
	_, err := testhost.DialFor(from.NS, "203.0.113.10/443", 300*time.Millisecond)
	return err == nil
}
