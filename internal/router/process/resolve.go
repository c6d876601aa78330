package process

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/control"
	"github.com/mcpnet/mcpnet/internal/router/dnsmsg"
)

// Open gives the filter what looks like a socket to a resolver. The resident process puts the question, by its name
// alone, and gives what the resolver said.
func (p *process) Open(ctx context.Context, network string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	return &resolver{process: p, ctx: ctx, cancel: cancel, network: network}, nil
}

// resolver carries one question and its answer.
type resolver struct {
	net.Conn // nothing else is asked of it
	process  *process
	ctx      context.Context
	cancel   context.CancelFunc
	network  string
	answer   bytes.Buffer
}

// prefix is how many bytes of length stand before a message over TCP (RFC 1035, 4.2.2).
const prefix = 2

// Write takes the question, and waits for the answer. That bears the question's id, whatever id the resolver saw.
func (r *resolver) Write(b []byte) (int, error) {
	query := b
	if r.network == "tcp" {
		if len(b) < prefix {
			return 0, errors.New("a question without its length")
		}
		query = b[prefix:]
	}
	q, err := dnsmsg.ParseQuery(query)
	if err != nil {
		return 0, err
	}
	got, err := r.process.caller.Ask(r.ctx, control.Message{Kind: control.Resolve, Network: r.network, Name: q.Name})
	if err != nil {
		return 0, err
	}
	if len(got.Text) < prefix {
		return 0, errors.New("an answer without an id")
	}
	binary.BigEndian.PutUint16(got.Text, q.ID)
	if r.network == "tcp" {
		_ = binary.Write(&r.answer, binary.BigEndian, uint16(len(got.Text)))
	}
	r.answer.Write(got.Text)
	return len(b), nil
}

func (r *resolver) Read(b []byte) (int, error) {
	if r.answer.Len() == 0 { // there is one answer
		return 0, os.ErrDeadlineExceeded
	}
	return r.answer.Read(b)
}

// SetDeadline is only ever called to end everything at once.
func (r *resolver) SetDeadline(time.Time) error {
	r.cancel()
	return nil
}

func (r *resolver) Close() error {
	r.cancel()
	return nil
}
