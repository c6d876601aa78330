package router

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// resolverTime is how long a resolver may take.
const resolverTime = 2 * time.Second

// resolve asks one of the host's resolvers for a name that the network's list holds, and gives what it said as it came.
// The question is made here: the process that reads what servers send has no socket that leads to a resolver.
func (r *Router) resolve(ctx context.Context, network, name string) ([]byte, error) {
	if !r.names.roster.Listed(name) {
		return nil, errNotAllowed
	}
	if network != "udp" && network != "tcp" {
		return nil, fmt.Errorf("network %q", network)
	}
	resolvers, err := r.config.Resolvers()
	if err == nil && len(resolvers) == 0 {
		err = errors.New("the host has no resolver")
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolverTime)
	defer cancel()
	conn, err := r.connect(ctx, network, resolvers[r.names.turn()%uint64(len(resolvers))])
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	id := make([]byte, 2)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	query, err := dnsmsg.NewQuery(binary.BigEndian.Uint16(id), name)
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		return overStream(conn, query)
	}
	return overDatagrams(conn, query)
}

func (r *Router) connect(ctx context.Context, network string, to netip.AddrPort) (conn net.Conn, err error) {
	err = r.config.Host.Do(func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, to.String())
		return err
	})
	return conn, err
}

// overDatagrams waits for the datagram that bears the question's id: what others send is not taken for the answer.
func overDatagrams(conn net.Conn, query []byte) ([]byte, error) {
	if _, err := conn.Write(query); err != nil {
		return nil, err
	}
	answer := make([]byte, 1<<16)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return nil, err
		}
		if n >= 2 && string(answer[:2]) == string(query[:2]) {
			return answer[:n], nil
		}
	}
}

func overStream(conn net.Conn, query []byte) ([]byte, error) {
	if err := dnsmsg.WriteMessage(conn, query); err != nil {
		return nil, err
	}
	return dnsmsg.ReadMessage(conn, dnsmsg.MaxStream)
}
