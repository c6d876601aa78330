package filter

import (
	"cmp"
	"time"
)

// Limits bound what clients and resolvers can make the filter do. A zero field is that of DefaultLimits.
type Limits struct {
	ClientTTL time.Duration // what clients are told

	// Questions.
	Clients        int     // clients remembered
	InFlight       int     // questions of one client at once
	InFlightAll    int     // questions at once
	Rate           float64 // questions of one client in a second
	Burst          int     // questions of one client at once, after a pause
	Connections    int     // TCP connections of one client
	ConnectionsAll int     // TCP connections
	Pipelined      int     // questions of one connection at once
	Idle           time.Duration
	Slow           time.Duration // how long a message over TCP takes at most, each way

	// Wildcards.
	WildNames    int           // names of one client in all zones that are alive
	WildNamesAll int           // names in all zones that are alive
	WildFresh    int           // new names of one client in a minute
	WildLabel    int           // length of a label below the zone
	WildLabels   int           // labels below the zone
	WildIdle     time.Duration // how long a name is alive that nobody asks for

	// Resolvers.
	Names    int           // names remembered
	Bindings int           // mappings remembered
	Try      time.Duration // one query to a resolver
	Tries    int
	Resolve  time.Duration // all queries for one question
	Bind     time.Duration // one call of Bind
	MinTTL   time.Duration // a name is refreshed no sooner than this after its last answer
	MaxTTL   time.Duration // and no later
	Negative time.Duration // how long it is remembered that a name has no addresses
	Failed   time.Duration // how long it is remembered that resolvers failed, and between two refreshes that failed
	Quiet    time.Duration // a name that nobody asks for during this time is refreshed no more often than this
	Stale    time.Duration // how long a mapping outlives the last answer of a resolver
	Refresh  int           // refreshes at once
}

// DefaultLimits are for a network of up to 1,000 clients and 10,000 names.
var DefaultLimits = Limits{
	ClientTTL: 30 * time.Second,

	Clients: 4096, InFlight: 64, InFlightAll: 4096, Rate: 50, Burst: 100,
	Connections: 8, ConnectionsAll: 1024, Pipelined: 16, Idle: 10 * time.Second, Slow: 5 * time.Second,

	WildNames: 256, WildNamesAll: 1024, WildFresh: 60, WildLabel: 40, WildLabels: 3, WildIdle: time.Hour,

	Names: 16384, Bindings: 65536,
	Try: 2 * time.Second, Tries: 2, Resolve: 4500 * time.Millisecond, Bind: 2 * time.Second,
	MinTTL: 5 * time.Second, MaxTTL: time.Hour, Negative: 5 * time.Second, Failed: 2 * time.Second,
	Quiet: 5 * time.Minute, Stale: 24 * time.Hour, Refresh: 32,
}

func (l Limits) complete() Limits {
	d := DefaultLimits
	return Limits{
		ClientTTL: cmp.Or(l.ClientTTL, d.ClientTTL),
		Clients:   cmp.Or(l.Clients, d.Clients), InFlight: cmp.Or(l.InFlight, d.InFlight),
		InFlightAll: cmp.Or(l.InFlightAll, d.InFlightAll), Rate: cmp.Or(l.Rate, d.Rate), Burst: cmp.Or(l.Burst, d.Burst),
		Connections: cmp.Or(l.Connections, d.Connections), ConnectionsAll: cmp.Or(l.ConnectionsAll, d.ConnectionsAll),
		Pipelined: cmp.Or(l.Pipelined, d.Pipelined), Idle: cmp.Or(l.Idle, d.Idle), Slow: cmp.Or(l.Slow, d.Slow),
		WildNames: cmp.Or(l.WildNames, d.WildNames), WildNamesAll: cmp.Or(l.WildNamesAll, d.WildNamesAll),
		WildFresh: cmp.Or(l.WildFresh, d.WildFresh), WildLabel: cmp.Or(l.WildLabel, d.WildLabel),
		WildLabels: cmp.Or(l.WildLabels, d.WildLabels), WildIdle: cmp.Or(l.WildIdle, d.WildIdle),
		Names: cmp.Or(l.Names, d.Names), Bindings: cmp.Or(l.Bindings, d.Bindings),
		Try: cmp.Or(l.Try, d.Try), Tries: cmp.Or(l.Tries, d.Tries), Resolve: cmp.Or(l.Resolve, d.Resolve),
		Bind: cmp.Or(l.Bind, d.Bind), MinTTL: cmp.Or(l.MinTTL, d.MinTTL), MaxTTL: cmp.Or(l.MaxTTL, d.MaxTTL),
		Negative: cmp.Or(l.Negative, d.Negative), Failed: cmp.Or(l.Failed, d.Failed), Quiet: cmp.Or(l.Quiet, d.Quiet),
		Stale: cmp.Or(l.Stale, d.Stale), Refresh: cmp.Or(l.Refresh, d.Refresh),
	}
}
