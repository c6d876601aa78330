package filter

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// maxDatagram is larger than any datagram that was asked for.
const maxDatagram = 4096

// resolver asks upstream for addresses.
type resolver struct {
	upstream Upstream
	limits   Limits
}

// resolve asks for the addresses of a name, and of what it is an alias of.
func (r resolver) resolve(ctx context.Context, name string) (dnsmsg.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.Resolve)
	defer cancel()
	hops, ttl := 0, uint32(1<<31-1)
	for {
		reply, err := r.ask(ctx, name)
		if err != nil {
			return dnsmsg.Reply{}, err
		}
		hops, ttl = hops+reply.Hops, min(ttl, reply.TTL)
		if reply.Alias == "" || reply.NoSuchName() {
			reply.TTL = ttl
			return reply, nil
		}
		if hops >= dnsmsg.MaxHops {
			return dnsmsg.Reply{}, dnsmsg.ErrAliases
		}
		name = reply.Alias
	}
}

// ask puts one question until a resolver answers.
func (r resolver) ask(ctx context.Context, name string) (reply dnsmsg.Reply, err error) {
	for range r.limits.Tries {
		if reply, err = r.try(ctx, name); err == nil {
			break
		}
	}
	return reply, err
}

// try puts one question, over TCP where the answer does not fit into a datagram.
func (r resolver) try(ctx context.Context, name string) (dnsmsg.Reply, error) {
	reply, err := r.exchange(ctx, "udp", name)
	if err == nil && reply.Truncated {
		reply, err = r.exchange(ctx, "tcp", name)
	}
	switch {
	case err != nil:
		return dnsmsg.Reply{}, err
	case reply.Truncated:
		return dnsmsg.Reply{}, errors.New("the resolver cuts its answers over TCP, too")
	case reply.Failed():
		return dnsmsg.Reply{}, fmt.Errorf("the resolver says %s", reply.Code)
	}
	return reply, nil
}

// exchange sends one query over a socket of its own, with an id that nobody can guess.
func (r resolver) exchange(ctx context.Context, network, name string) (dnsmsg.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limits.Try)
	defer cancel()
	var random [2]byte
	_, _ = rand.Read(random[:]) // It has no error.
	id := binary.BigEndian.Uint16(random[:])
	query, err := dnsmsg.NewQuery(id, name)
	if err != nil {
		return dnsmsg.Reply{}, err
	}
	conn, err := r.upstream.Open(ctx, network)
	if err != nil {
		return dnsmsg.Reply{}, fmt.Errorf("no socket to a resolver: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		return overTCP(conn, id, name, query)
	}
	return overUDP(conn, id, name, query)
}

// overUDP waits for the answer among whatever else arrives.
func overUDP(conn net.Conn, id uint16, name string, query []byte) (dnsmsg.Reply, error) {
	if _, err := conn.Write(query); err != nil {
		return dnsmsg.Reply{}, err
	}
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return dnsmsg.Reply{}, err
		}
		reply, err := dnsmsg.ParseAnswer(id, name, buf[:n])
		if !errors.Is(err, dnsmsg.ErrForeign) {
			return reply, err
		}
	}
}

func overTCP(conn net.Conn, id uint16, name string, query []byte) (dnsmsg.Reply, error) {
	if err := dnsmsg.WriteMessage(conn, query); err != nil {
		return dnsmsg.Reply{}, err
	}
	msg, err := dnsmsg.ReadMessage(conn, dnsmsg.MaxStream)
	if err != nil {
		return dnsmsg.Reply{}, err
	}
	return dnsmsg.ParseAnswer(id, name, msg)
}
