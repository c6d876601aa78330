package policy

import (
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// dnsWord is the item of an egress list that stands for name resolution.
const dnsWord = "dns"

// dnsPort is the port that dnsWord stands for, on both protocols.
const dnsPort = 53

// Egress is what a gateway may open outside the network. Its zero value is
// nothing.
type Egress struct {
	Ports []Port `json:"ports,omitempty"` // in the order given, no duplicates, none that DNS includes
	DNS   bool   `json:"dns,omitempty"`   // udp/53 and tcp/53 to anywhere
}

// Off reports whether a gateway may open nothing.
func (e Egress) Off() bool {
	return len(e.Ports) == 0 && !e.DNS
}

// String returns the form that options have: "off" or "tcp/443,udp/123,dns".
func (e Egress) String() string {
	switch {
	case e.Off():
		return off
	case len(e.Ports) == 0:
		return dnsWord
	case e.DNS:
		return join(e.Ports) + "," + dnsWord
	}
	return join(e.Ports)
}

// egressItem is one item of the list: a port, or as its zero value dnsWord.
type egressItem struct{ port Port }

// parseEgress reads what Egress.String writes, with dns at any place.
func parseEgress(value string) (Egress, problem.List) {
	if strings.TrimSpace(value) == off {
		return Egress{}, nil
	}
	list, problems := parseList(value, parseEgressItem)
	e := Egress{DNS: slices.Contains(list, egressItem{})}
	for _, item := range list {
		switch {
		case item == egressItem{}:
		case e.DNS && item.port.Number == dnsPort:
			problems = append(problems, bad(item.port.String(), "given twice: dns includes it")...)
		default:
			e.Ports = append(e.Ports, item.port)
		}
	}
	return e, problems
}

func parseEgressItem(item string) (egressItem, problem.List) {
	switch lower := strings.ToLower(item); {
	case item == dnsWord:
		return egressItem{}, nil
	case item == off:
		return egressItem{}, bad(item, "off stands alone")
	case lower == off || lower == dnsWord:
		return egressItem{}, problem.List{{Value: item, Reason: "values are written in lower case", Nearest: lower}}
	case lower == string(TCP) || lower == string(UDP):
		return egressItem{}, bad(item, "the port is missing")
	}
	port, problems := parsePort(item)
	return egressItem{port}, problems
}
