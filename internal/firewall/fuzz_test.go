package firewall_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/firewall"
	"github.com/mcpnet/mcpnet/internal/frame"
)

// FuzzDecode: no frame, however broken, makes Decode or Explain panic, none of a server passes into the host's stack,
// and none reaches anything but the gateway.
func FuzzDecode(f *testing.F) {
	s := newScene(f, nil)
	valid := ip(s.server, s.gateway, nil)
	for _, seed := range [][]byte{nil, valid, valid[:14], valid[:30], arp(s.server, "172.20.0.100", nil), frame.Tagged(valid, frame.TypeVLAN, 1),
		ip(s.server, s.gateway, datagram(1, 2)), ip(s.server, s.gateway, func(p *frame.IPv4) { p.Options = make([]byte, 40) })} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := s.rules.Explain(firewall.HookIngress, firewall.Decode(s.server.Wire(), data))
		if o.Verdict == firewall.Accept || (o.Passes() && o.Out != s.gateway.Wire()) {
			t.Errorf("%x: %s", data, describe(o))
		}
	})
}
