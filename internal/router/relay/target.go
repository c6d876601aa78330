package relay

import (
	"net/netip"

	"github.com/mcpnet/mcpnet/internal/router/hello"
)

// Target is what a connection is permitted to.
type Target struct {
	Name string         // whom the client has to ask for: lower case, no final dot
	Addr netip.AddrPort // where the name is now
	Kind hello.Kind     // what the client has to speak; zero is what the port it connected to says
}

// kindOf is what a client has to speak. Zero is a port that nothing is known of.
func (t Target) kindOf(original netip.AddrPort) hello.Kind {
	switch {
	case t.Kind != 0:
		return t.Kind
	case original.Port() == 443:
		return hello.TLS
	case original.Port() == 80:
		return hello.HTTP
	}
	return 0
}
