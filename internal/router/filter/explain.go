package filter

import (
	"fmt"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// shownName is how much of a name is shown: twice of it, and the words around, fit into an extended error.
const shownName = 60

// explain puts a reason into words for whoever looks at the answer, with the remedy.
func (c Config) explain(name string, r Reason) (dnsmsg.EDE, string) {
	l := c.Limits
	if len(name) > shownName {
		name = name[:shownName] + "…"
	}
	switch r {
	case NotAllowed:
		return dnsmsg.EDEProhibited, fmt.Sprintf("mcpnet.allow%s does not name %s; to allow it: mcpnet allow %s %s",
			c.ofNetwork(), name, c.network(), name)
	case NotAHost:
		return dnsmsg.EDEProhibited, "no host can have this name, so mcpnet.allow cannot name it"
	case PrivateAnswer:
		return dnsmsg.EDEBlocked, fmt.Sprintf("private-answer: %s leads to addresses that are private, of a link or of a"+
			" host; mcpnet.allow opens such an address only by its number", name)
	case WildNames:
		return dnsmsg.EDEBlocked, fmt.Sprintf("more than %d names below wildcards of mcpnet.allow; name the host itself",
			l.WildNames)
	case WildNamesAll:
		return dnsmsg.EDEBlocked, fmt.Sprintf("more than %d names below wildcards of mcpnet.allow on the network;"+
			" name the host itself", l.WildNamesAll)
	case WildFresh:
		return dnsmsg.EDEBlocked, fmt.Sprintf("more than %d new names in a minute below wildcards of mcpnet.allow;"+
			" name the host itself", l.WildFresh)
	case WildShape:
		return dnsmsg.EDEBlocked, fmt.Sprintf("more than %d labels, or one of more than %d characters, below a wildcard of"+
			" mcpnet.allow; name the host itself", l.WildLabels, l.WildLabel)
	case UpstreamFailed:
		return dnsmsg.EDENoAuthority, "no resolver of the network answers for " + name
	case BindFailed:
		return dnsmsg.EDEOther, "the address of " + name + " could not be put in force"
	case TooManyQuestions:
		return dnsmsg.EDEOther, fmt.Sprintf("more than %g questions a second", l.Rate)
	case TooManyAtOnce:
		return dnsmsg.EDEOther, fmt.Sprintf("more than %d questions at once", l.InFlight)
	case TooManyNames:
		return dnsmsg.EDEOther, "more names are in use than the filter remembers"
	}
	return dnsmsg.EDEOther, string(r)
}

func (c Config) ofNetwork() string {
	if c.Network == "" {
		return ""
	}
	return " of " + c.Network
}

func (c Config) network() string {
	if c.Network == "" {
		return "NETWORK"
	}
	return c.Network
}
