package relay

import (
	"net/netip"
	"sync"
)

// seats counts connections, so that no server takes what is there for others.
type seats struct {
	limits Limits

	mu  sync.Mutex
	all taken
	of  map[netip.Addr]*taken
}

// taken is how many connections there are, and how many of them are not let through yet.
type taken struct{ hellos, connections int }

func newSeats(limits Limits) seats {
	return seats{limits: limits, of: map[netip.Addr]*taken{}}
}

// enter takes a seat for a connection whose hello is awaited, or says which limit is reached.
func (s *seats) enter(server netip.Addr) Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.of[server]
	if own == nil {
		own = &taken{}
	}
	if reason := s.full(own); reason != "" {
		return reason
	}
	for _, t := range []*taken{own, &s.all} {
		t.hellos++
		t.connections++
	}
	s.of[server] = own
	return ""
}

// full looks at the server's own limits first: its own is what a server can do something about.
func (s *seats) full(own *taken) Reason {
	switch {
	case own.hellos >= s.limits.HellosPerServer:
		return LimitHellos
	case own.connections >= s.limits.ConnectionsPerServer:
		return LimitConnections
	case s.all.hellos >= s.limits.Hellos:
		return LimitHellosAll
	case s.all.connections >= s.limits.Connections:
		return LimitConnectionsAll
	}
	return ""
}

// settle says that a connection awaits no hello any more.
func (s *seats) settle(server netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[server].hellos--
	s.all.hellos--
}

// leave gives back the seat of a connection that has settled.
func (s *seats) leave(server netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.of[server]
	own.connections--
	s.all.connections--
	if own.connections == 0 {
		delete(s.of, server)
	}
}
