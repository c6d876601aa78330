package filter

import (
	"context"
	"net/netip"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// decision is what becomes of a question.
type decision struct {
	verdict Verdict
	reason  Reason
	addrs   []netip.Addr
}

// verdicts are those that follow from the reason alone.
var verdicts = map[Reason]Verdict{
	NoSuchName: Absent, NoAddress: Empty, PrivateAnswer: Denied,
	UpstreamFailed: Failed, BindFailed: Failed, TooManyNames: Failed,
}

// decide asks the policy first. Nothing that it does not allow has an effect.
func (s *server) decide(ctx context.Context, c *client, q dnsmsg.Query) decision {
	if dnsmsg.CheckHost(q.Name) != nil {
		return decision{verdict: Denied, reason: NotAHost}
	}
	rule, ok := s.cfg.Names.Lookup(c.addr, q.Name)
	if !ok {
		return decision{verdict: Denied, reason: NotAllowed}
	}
	if q.Type != dnsmsg.TypeA {
		return decision{verdict: Empty, reason: OtherType}
	}
	if rule.Zone != "" {
		if reason := s.clients.claim(c, q.Name, rule.Zone, time.Now()); reason != "" {
			return decision{verdict: Denied, reason: reason}
		}
	}
	addrs, reason := s.cache.addresses(ctx, c.addr, q.Name, rule)
	if reason != "" {
		return decision{verdict: verdicts[reason], reason: reason}
	}
	return decision{verdict: Answered, addrs: addrs}
}
