package filter

import (
	"context"
	"net/netip"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// server answers messages, whichever way they come.
type server struct {
	cfg     *Config
	clients *clients
	cache   *cache
}

func newServer(cfg Config) *server {
	cfg = cfg.complete()
	return &server{cfg: &cfg, clients: newClients(cfg.Limits), cache: newCache(&cfg)}
}

// arrival is a message that came in. An open one is to be decided. The answer of any other stands, and is nil where
// silence is.
type arrival struct {
	open   bool
	query  dnsmsg.Query
	client *client
	answer []byte
	start  time.Time
}

// receive lets a message in, or turns it away at once.
func (s *server) receive(from netip.Addr, msg []byte) arrival {
	start := time.Now()
	c, reason, tell := s.clients.admit(from, start)
	if c == nil && !tell {
		s.cfg.Observe(Event{Client: from, Verdict: Dropped, Reason: reason, Took: time.Since(start)})
		return arrival{}
	}
	q, err := dnsmsg.ParseQuery(msg)
	if err != nil {
		return s.malformed(from, c, err, start)
	}
	if c == nil {
		return arrival{query: q, answer: s.conclude(from, q, decision{verdict: Failed, reason: reason}, start)}
	}
	return arrival{open: true, query: q, client: c, start: start}
}

// malformed answers what is no question.
func (s *server) malformed(from netip.Addr, c *client, err error, start time.Time) arrival {
	if c != nil {
		s.clients.release(c)
	}
	verdict, answer := Dropped, dnsmsg.ReplyTo(err)
	if answer != nil {
		verdict = Refused
	}
	s.cfg.Observe(Event{Client: from, Verdict: verdict, Reason: Malformed, Took: time.Since(start)})
	return arrival{answer: answer}
}

// finish decides an open arrival, and gives the answer.
func (s *server) finish(ctx context.Context, a arrival) []byte {
	d := s.decide(ctx, a.client, a.query)
	s.clients.release(a.client)
	return s.conclude(a.client.addr, a.query, d, a.start)
}

// conclude reports a decision, and puts it into words.
func (s *server) conclude(from netip.Addr, q dnsmsg.Query, d decision, start time.Time) []byte {
	s.cfg.Observe(Event{Client: from, Name: q.Name, Type: q.Type, Verdict: d.verdict, Reason: d.reason,
		Took: time.Since(start)})
	switch d.verdict {
	case Answered:
		return dnsmsg.Answer(q, uint32(s.cfg.Limits.ClientTTL/time.Second), d.addrs...)
	case Empty:
		return dnsmsg.Empty(q)
	case Absent:
		return dnsmsg.NoSuchName(q)
	case Denied:
		code, text := s.cfg.explain(q.Name, d.reason)
		return dnsmsg.Denied(q, code, text)
	}
	code, text := s.cfg.explain(q.Name, d.reason)
	return dnsmsg.ServFail(q, code, text)
}
