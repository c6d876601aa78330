package relay

import "net/netip"

// admit asks who owns the address, and keeps the connection among those that Revoke looks at. It asks again when
// Revoke was called between the two.
func (r *Relay) admit(c *connection) bool {
	for {
		before := r.revision()
		target, ok := r.config.Owner(c.server, c.original)
		if !ok {
			return false
		}
		c.target = target
		if r.keep(c, before) {
			return true
		}
	}
}

func (r *Relay) revision() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.revisions
}

func (r *Relay) keep(c *connection, revision int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revisions != revision {
		return false
	}
	r.live[c] = struct{}{}
	return true
}

func (r *Relay) forget(c *connection) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.live, c)
}

// Revoke resets the connections that are no longer permitted, also those that are not let through yet, and says how
// many. Who calls it has changed what Owner answers before: a connection that Owner was asked about meanwhile is
// asked about again. The function must not call the relay.
func (r *Relay) Revoke(permitted func(server netip.Addr, to Target) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revisions++
	revoked := 0
	for c := range r.live {
		if !permitted(c.server, c.target) {
			c.end(errRevoked)
			revoked++
		}
	}
	return revoked
}
