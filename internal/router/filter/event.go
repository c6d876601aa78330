package filter

import (
	"net/netip"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// Event is a decision. The client is the zero Addr where nobody asked.
type Event struct {
	Client  netip.Addr
	Name    string // as Names saw it; of a malformed question it is empty
	Type    dnsmsg.Type
	Verdict Verdict
	Reason  Reason
	Took    time.Duration
}

// Verdict is what became of a question, or of a mapping.
type Verdict string

// The verdicts on questions.
const (
	Answered Verdict = "answered" // with addresses
	Empty    Verdict = "empty"    // no records of the type
	Absent   Verdict = "absent"   // resolvers know no such name
	Denied   Verdict = "denied"   // NXDOMAIN, with a reason
	Failed   Verdict = "failed"   // SERVFAIL, with a reason
	Refused  Verdict = "refused"  // FORMERR, NOTIMP
	Dropped  Verdict = "dropped"  // nothing was said
)

// The verdicts on mappings, and on what resolvers say. Nobody is the client.
const (
	Sifted    Verdict = "sifted"    // some addresses of an answer were left out
	Refreshed Verdict = "refreshed" // resolvers answered
	Kept      Verdict = "kept"      // something failed: the mapping stays as it is
	Forgotten Verdict = "forgotten" // the mapping is refreshed no more
)

// Reason is why.
type Reason string

// The reasons. An answer has none.
const (
	NotAllowed       Reason = "not-allowed"        // no entry of the policy names it
	NotAHost         Reason = "not-a-host"         // no host has such a name
	OtherType        Reason = "other-type"         // the name is allowed, its addresses alone are told
	NoAddress        Reason = "no-address"         // resolvers know the name, and no address of it
	NoSuchName       Reason = "no-such-name"       // resolvers know no such name
	PrivateAnswer    Reason = "private-answer"     // resolvers gave addresses, none of the internet
	UpstreamFailed   Reason = "upstream-failed"    // no resolver answered
	BindFailed       Reason = "bind-failed"        // the kernel does not hold the mapping
	TooManyQuestions Reason = "rate"               // over Limits.Rate
	TooManyAtOnce    Reason = "in-flight"          // over Limits.InFlight or InFlightAll
	TooManyClients   Reason = "clients"            // over Limits.Clients
	TooManyConns     Reason = "connections"        // over Limits.Connections or ConnectionsAll
	TooManyNames     Reason = "names"              // over Limits.Names or Bindings
	WildNames        Reason = "wildcard-names"     // over Limits.WildNames
	WildNamesAll     Reason = "wildcard-names-all" // over Limits.WildNamesAll
	WildFresh        Reason = "wildcard-rate"      // over Limits.WildFresh
	WildShape        Reason = "wildcard-shape"     // over Limits.WildLabel or WildLabels
	Malformed        Reason = "malformed"          // no question
	Unused           Reason = "unused"             // nobody asks for the name
	Stale            Reason = "stale"              // no resolver answered during Limits.Stale
)
