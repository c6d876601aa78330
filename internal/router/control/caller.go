package control

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Caller asks over a connection, many questions at once.
type Caller struct {
	conn *Conn

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan Message
	ended   error
}

// NewCaller makes one. Serve has to run for answers to arrive.
func NewCaller(c *Conn) *Caller { return &Caller{conn: c, waiting: map[uint64]chan Message{}} }

// Say sends a message that nobody answers.
func (c *Caller) Say(m Message) error { return c.conn.Send(m) }

// End closes the connection.
func (c *Caller) End() { _ = c.conn.Close() }

// Ask sends a question and waits for its answer. An answer with an error is one.
func (c *Caller) Ask(ctx context.Context, m Message) (Message, error) {
	id, answer, err := c.expect()
	if err != nil {
		return Message{}, err
	}
	m.ID = id
	if err := c.conn.Send(m); err != nil {
		c.give(id, nil)
		return Message{}, err
	}
	select {
	case <-ctx.Done():
		c.give(id, nil)
		discard(answer)
		return Message{}, ctx.Err()
	case got, ok := <-answer:
		if !ok {
			return Message{}, io.ErrUnexpectedEOF
		}
		if got.Error != "" {
			return got, errors.New(got.Error)
		}
		return got, nil
	}
}

// discard closes the descriptor of an answer that came too late.
func discard(answer chan Message) {
	select {
	case late := <-answer:
		if late.File != nil {
			late.File.Close()
		}
	default:
	}
}

func (c *Caller) expect() (uint64, chan Message, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return 0, nil, c.ended
	}
	c.last++
	answer := make(chan Message, 1)
	c.waiting[c.last] = answer
	return c.last, answer, nil
}

// give hands an answer to who waits for it, and closes its descriptor where nobody does.
func (c *Caller) give(id uint64, m *Message) {
	c.mu.Lock()
	answer, waits := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if m == nil {
		return
	}
	if waits {
		answer <- *m
	} else if m.File != nil {
		m.File.Close()
	}
}

// Serve reads until the connection ends: answers go to who asked, the rest to told.
func (c *Caller) Serve(told func(Message)) error {
	for {
		m, err := c.conn.Receive()
		if err != nil {
			c.end(err)
			return err
		}
		if m.Kind == Answer {
			c.give(m.ID, &m)
		} else {
			told(m)
		}
	}
}

func (c *Caller) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = err
	for _, answer := range c.waiting {
		close(answer)
	}
	c.waiting = map[uint64]chan Message{}
}
