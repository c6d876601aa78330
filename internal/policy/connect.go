package policy

import (
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// off is the word that switches a list off.
const off = "off"

// Connect is what a gateway may open towards servers: every TCP port, the
// ports listed, or, as its zero value, nothing.
type Connect struct {
	Any   bool   `json:"any,omitempty"`   // every TCP port; Ports is then empty
	Ports []Port `json:"ports,omitempty"` // TCP only, in the order given, no duplicates
}

// Off reports whether a gateway may open nothing.
func (c Connect) Off() bool {
	return !c.Any && len(c.Ports) == 0
}

// String returns the form that options have: "off", "tcp" or
// "tcp/3000,tcp/3001".
func (c Connect) String() string {
	switch {
	case c.Any:
		return string(TCP)
	case c.Off():
		return off
	}
	return join(c.Ports)
}

// parseConnect reads what Connect.String writes.
func parseConnect(value string) (Connect, problem.List) {
	switch strings.TrimSpace(value) {
	case off:
		return Connect{}, nil
	case string(TCP):
		return Connect{Any: true}, nil
	}
	ports, problems := parseList(value, parseConnectItem)
	return Connect{Ports: ports}, problems
}

func parseConnectItem(item string) (Port, problem.List) {
	switch lower := strings.ToLower(item); {
	case item == off:
		return Port{}, bad(item, "off stands alone")
	case item == string(TCP):
		return Port{}, bad(item, "tcp means every TCP port and stands alone")
	case lower == off || lower == string(TCP):
		return Port{}, problem.List{{Value: item, Reason: "values are written in lower case", Nearest: lower}}
	case lower == string(UDP) || strings.HasPrefix(lower, "udp/"):
		return Port{}, bad(item, "udp is not accepted: a gateway opens only TCP connections to servers")
	}
	return parsePort(item)
}
