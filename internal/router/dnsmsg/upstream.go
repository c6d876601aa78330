package dnsmsg

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/dns/dnsmessage"
)

// Reply is what a resolver says about the addresses of a name.
type Reply struct {
	Code      dnsmessage.RCode
	Truncated bool         // ask again over TCP; nothing else is filled in
	Addrs     []netip.Addr // IPv4, as given, each once, at most MaxAddrs
	TTL       uint32       // seconds, the lowest on the way to the addresses
	Alias     string       // where the aliases lead, if the message has no addresses for it
	Hops      int          // how many aliases were followed
}

// NoSuchName reports whether the resolver says that the name does not exist.
func (r Reply) NoSuchName() bool { return r.Code == dnsmessage.RCodeNameError }

// Failed reports whether the resolver has no answer.
func (r Reply) Failed() bool { return r.Code != dnsmessage.RCodeSuccess && !r.NoSuchName() }

var (
	// ErrForeign is a message that does not answer the question asked: whoever waits goes on waiting.
	ErrForeign = errors.New("the message answers another question")
	// ErrAliases is a name whose aliases do not end.
	ErrAliases = fmt.Errorf("more than %d aliases", MaxHops)
)

// NewQuery asks a resolver for the addresses of a name. Nothing in it is a client's but the name.
func NewQuery(id uint16, name string) ([]byte, error) {
	if err := CheckHost(name); err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	n, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	m := dnsmessage.Message{
		Header:      dnsmessage.Header{ID: id, RecursionDesired: true},
		Questions:   []dnsmessage.Question{{Name: n, Type: TypeA, Class: dnsmessage.ClassINET}},
		Additionals: []dnsmessage.Resource{extension(0)},
	}
	return m.Pack()
}

// ParseAnswer reads the answer to NewQuery. It is ErrForeign unless it has the id and the question.
func ParseAnswer(id uint16, name string, msg []byte) (Reply, error) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.ID != id || !h.Response || h.OpCode != 0 || !asks(&p, name) {
		return Reply{}, ErrForeign
	}
	r := Reply{Code: h.RCode, Truncated: h.Truncated}
	if r.Truncated || r.Failed() {
		return r, nil
	}
	records, err := readRecords(&p)
	if err != nil {
		return Reply{}, err
	}
	return r.follow(name, records)
}

// asks reports whether the question of a message is the one for the addresses of a name.
func asks(p *dnsmessage.Parser, name string) bool {
	q, err := p.Question()
	if err != nil || canonical(q.Name) != name || q.Type != TypeA || q.Class != dnsmessage.ClassINET {
		return false
	}
	_, err = p.Question()
	return errors.Is(err, dnsmessage.ErrSectionDone)
}

// record is an address of a name, or the name that it is an alias of.
type record struct {
	owner string
	ttl   uint32
	addr  netip.Addr
	alias string
}

// readRecords takes the addresses and aliases of the answer section.
func readRecords(p *dnsmessage.Parser) (records []record, err error) {
	for range maxRecords {
		h, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("a malformed answer: %w", err)
		}
		r, err := readRecord(p, h)
		if err != nil {
			return nil, fmt.Errorf("a malformed record of the answer: %w", err)
		}
		records = append(records, r)
	}
	return records, nil
}

// readRecord takes one record; of other types or classes it takes nothing.
func readRecord(p *dnsmessage.Parser, h dnsmessage.ResourceHeader) (record, error) {
	r := record{owner: canonical(h.Name), ttl: h.TTL}
	if r.ttl > 1<<31-1 { // RFC 2181, 8
		r.ttl = 0
	}
	switch {
	case h.Class == dnsmessage.ClassINET && h.Type == TypeA:
		a, err := p.AResource()
		r.addr = netip.AddrFrom4(a.A)
		return r, err
	case h.Class == dnsmessage.ClassINET && h.Type == dnsmessage.TypeCNAME:
		c, err := p.CNAMEResource()
		r.alias = canonical(c.CNAME)
		return r, err
	}
	return record{}, p.SkipAnswer()
}

// follow goes from the name over its aliases to addresses. Records of other names count for nothing.
func (r Reply) follow(name string, records []record) (Reply, error) {
	r.TTL = 1<<31 - 1
	for {
		if r.take(name, records) {
			r.Alias = ""
			return r, nil
		}
		at := slices.IndexFunc(records, func(x record) bool { return x.owner == name && x.alias != "" })
		if at < 0 {
			return r, nil
		}
		if r.Hops++; r.Hops > MaxHops {
			return Reply{}, ErrAliases
		}
		name, r.TTL = records[at].alias, min(r.TTL, records[at].ttl)
		r.Alias = name
	}
}

// take adds the addresses of a name, and reports whether it has any.
func (r *Reply) take(name string, records []record) bool {
	for _, x := range records {
		if x.owner != name || !x.addr.IsValid() {
			continue
		}
		if len(r.Addrs) < MaxAddrs && !slices.Contains(r.Addrs, x.addr) {
			r.Addrs = append(r.Addrs, x.addr)
		}
		r.TTL = min(r.TTL, x.ttl)
	}
	return len(r.Addrs) > 0
}
