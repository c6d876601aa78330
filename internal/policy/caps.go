package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/sys/capability"

	"github.com/mcpnet/mcpnet/internal/problem"
)

// Caps is a set of Linux capabilities: bit N is capability N of linux/capability.h.
type Caps uint64

// AllCaps holds every capability, also those that have no name yet.
const AllCaps = ^Caps(0)

// CapsMode says what happens to an endpoint whose container holds more than
// the policy's capabilities, or has another way out.
type CapsMode string

// The values of CapsMode.
const (
	CapsEnforce CapsMode = "enforce" // its wire passes nothing, nor before anything is known
	CapsGuard   CapsMode = "guard"   // with a way out its wire passes nothing; what else it holds is reported
	CapsAudit   CapsMode = "audit"   // it is reported
	CapsOff     CapsMode = "off"     // nobody looks
)

// capPrefix begins a capability's full name; people leave it out.
const capPrefix = "CAP_"

// none is the empty set in options.
const none = "none"

// capNames are the capabilities that Linux has names for, by their numbers and
// without capPrefix.
var capNames = nameCaps()

func nameCaps() []string {
	known := capability.ListKnown()
	names := make([]string, len(known))
	for _, c := range known {
		names[c] = strings.ToUpper(c.String())
	}
	return names
}

// KnownCaps are the capabilities that have names.
var KnownCaps = Caps(1)<<len(capNames) - 1

// DefaultCaps is what a server's process may hold where the policy says
// nothing: opening a port below 1024.
var DefaultCaps = mustCap("NET_BIND_SERVICE")

// Cap finds one capability by its name, in any case, with or without CAP_.
func Cap(name string) (Caps, bool) {
	bare := strings.TrimPrefix(strings.ToUpper(name), capPrefix)
	i := slices.Index(capNames, bare)
	if i < 0 {
		return 0, false
	}
	return 1 << i, true
}

func mustCap(name string) Caps {
	c, ok := Cap(name)
	if !ok {
		panic("policy: no capability " + name)
	}
	return c
}

// Names lists the capabilities as OCI documents do, such as
// CAP_NET_BIND_SERVICE, in the order of their numbers. One that this version
// has no name for appears by its number.
func (c Caps) Names() []string {
	names := []string{}
	for i := range 64 {
		if c&(1<<i) == 0 {
			continue
		}
		if i < len(capNames) {
			names = append(names, capPrefix+capNames[i])
		} else {
			names = append(names, fmt.Sprint(capPrefix, i))
		}
	}
	return names
}

// Minus is what c has beyond other.
func (c Caps) Minus(other Caps) Caps { return c &^ other }

// String returns the form that options have: "none" or "CHOWN,KILL".
func (c Caps) String() string {
	if c == 0 {
		return none
	}
	names := c.Names()
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], capPrefix)
	}
	return strings.Join(names, ",")
}

// MarshalText implements encoding.TextMarshaler with the form of options.
func (c Caps) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Caps) UnmarshalText(b []byte) error {
	parsed, problems := parseCaps(string(b))
	*c = parsed
	return problems.Err()
}

// parseCaps reads what Caps.String writes.
func parseCaps(value string) (Caps, problem.List) {
	if strings.TrimSpace(value) == none {
		return 0, nil
	}
	list, problems := parseList(value, parseCap)
	var all Caps
	for _, c := range list {
		all |= c
	}
	return all, problems
}

func parseCap(item string) (Caps, problem.List) {
	if c, ok := Cap(item); ok {
		return c, nil
	}
	switch strings.ToLower(item) {
	case none:
		return 0, bad(item, "none stands alone, in lower case")
	case "all":
		return 0, bad(item, "there is no word for all: name those that the servers need")
	}
	wrong := problem.Problem{Value: item, Reason: "no capability of Linux"}
	bare := strings.ToLower(strings.TrimPrefix(strings.ToUpper(item), capPrefix))
	wrong.Nearest = strings.ToUpper(problem.Nearest(bare, lowerCapNames()))
	return 0, problem.List{wrong}
}

func lowerCapNames() []string {
	names := slices.Clone(capNames)
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	return names
}
