package explain_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/firewall/explain"
	"github.com/mcpnet/mcpnet/internal/frame"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// FuzzDecode: no frame, however broken, makes Decode or Explain panic. One of a server reaches the gateway, or is
// handed to the router to be refused, and nothing else; one of a gateway reaches servers, or the router.
func FuzzDecode(f *testing.F) {
	s := newScene(f, nil)
	valid, answer := ip(s.server, s.gateway, nil), ip(s.gateway, s.server, segment(8080, 40000, frame.ACK))
	for _, seed := range [][]byte{nil, valid, valid[:14], valid[:30], arp(s.server, "172.20.0.100", nil),
		frame.Tagged(valid, frame.TypeVLAN, 1),
		ip(s.server, s.gateway, datagram(1, 2)), ip(s.server, s.gateway,
			func(p *frame.IPv4) { p.Options = make([]byte, 40) }),
		ip(s.server, s.neighbour, nil), answer, answer[:40], arp(s.gateway, "172.20.240.1", nil), ip(s.gateway,
			s.router(), nil)} {
		f.Add(seed)
	}
	servers := []string{s.server.Wire(), s.neighbour.Wire()}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, rules := range s.variants {
			bounded(t, rules, s.server, data, topology.MarkDenied, s.gateway.Wire())
			bounded(t, rules, s.gateway, data, topology.MarkEgress, servers...)
		}
	})
}

// bounded holds an outcome to where frames of an endpoint may go, and to the marks that they may have on the router:
// denied, or one more.
func bounded(t *testing.T, rules firewall.Ruleset, from topology.Endpoint, data []byte, mark int, wires ...string) {
	o := explain.Rules(rules, firewall.HookIngress, decode(from, data))
	ok := false
	switch v := o.Verdict.(type) {
	case firewall.Forward:
		for _, wire := range wires {
			ok = ok || o.Out == wire
		}
	case firewall.ToRouter:
		ok = v.Mark == topology.MarkDenied || v.Mark == mark
	case firewall.AnswerARP:
		ok = true
	default:
		ok = v == firewall.Drop
	}
	if !ok {
		t.Errorf("%s: %x: %s", from.Role, data, describe(o))
	}
}
