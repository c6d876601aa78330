package router

import (
	"bytes"
	"log/slog"
	"sync"
)

// complaints are what a process says on its standard error. It may have been taken over: the log gets the beginning.
type complaints struct {
	log     *slog.Logger
	network string

	mu   sync.Mutex
	left int // how much more is logged, in bytes, below zero
}

// complaintsMost is how much of a process's words the log takes, in bytes.
const complaintsMost = 4096

// Write never fails: a process that speaks on is not to wait.
func (c *complaints) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if room := complaintsMost + c.left; room > 0 {
		said := b[:min(room, len(b))]
		c.left -= len(said)
		c.log.Warn("names: the process says", "network", c.network, "text", string(bytes.TrimSpace(said)))
	}
	return len(b), nil
}
