package testhost

import (
	"sync/atomic"
	"time"
)

const (
	// beat is how long a clock sleeps at a time.
	beat = time.Millisecond
	// lateness is by how much the sleep is longer on a machine that has nothing else to do.
	lateness = time.Millisecond
)

// clock measures time without what a machine withholds from the test: as long as a sleep lasts longer than asked for,
// nobody of the test, nor of what it waits for, can be sure to run.
type clock struct {
	began    time.Time
	withheld atomic.Int64 // nanoseconds
	ended    chan struct{}
}

func startClock() *clock {
	c := &clock{began: time.Now(), ended: make(chan struct{})}
	go c.beat()
	return c
}

func (c *clock) beat() {
	for {
		before := time.Now()
		select {
		case <-c.ended:
			return
		case <-time.After(beat):
		}
		if late := time.Since(before) - beat - lateness; late > 0 {
			c.withheld.Add(int64(late))
		}
	}
}

func (c *clock) elapsed() time.Duration {
	return time.Since(c.began) - time.Duration(c.withheld.Load())
}

func (c *clock) stop() { close(c.ended) }
