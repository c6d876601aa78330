package filter

import (
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// wildName is a name below a wildcard that a client asked for. Such names carry data to whoever serves the zone, so
// they are counted.
type wildName struct {
	first, last time.Time
}

// claim lets a client ask for a name below a wildcard's zone, or says what is in the way.
func (cs *clients) claim(c *client, name, zone string, now time.Time) Reason {
	labels, ok := dnsmsg.Below(name, zone)
	if !ok || dnsmsg.Labels(labels) > cs.limits.WildLabels || dnsmsg.LongestLabel(labels) > cs.limits.WildLabel {
		return WildShape
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if w := c.wild[name]; w != nil {
		w.last = now
		return ""
	}
	if reason := cs.full(c, name, now); reason != "" {
		return reason
	}
	c.wild[name] = &wildName{first: now, last: now}
	cs.wild[name]++
	return ""
}

// full says which cap a further name of a client would exceed.
func (cs *clients) full(c *client, name string, now time.Time) Reason {
	switch {
	case len(c.wild) >= cs.limits.WildNames:
		return WildNames
	case len(cs.wild) >= cs.limits.WildNamesAll && cs.wild[name] == 0:
		return WildNamesAll
	case c.fresh(now) >= cs.limits.WildFresh:
		return WildFresh
	}
	return ""
}

// fresh counts the names that a client first asked for within the last minute.
func (c *client) fresh(now time.Time) (n int) {
	for _, w := range c.wild {
		if now.Sub(w.first) < time.Minute {
			n++
		}
	}
	return n
}

// sweepNames forgets the names of a client that are not alive any more.
func (cs *clients) sweepNames(c *client, now time.Time) {
	for name, w := range c.wild {
		if now.Sub(w.last) <= cs.limits.WildIdle {
			continue
		}
		delete(c.wild, name)
		if cs.wild[name]--; cs.wild[name] <= 0 {
			delete(cs.wild, name)
		}
	}
}
