package testhost

import (
	"sync"
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
	began time.Time
	ended chan struct{}

	mu       sync.Mutex
	asleep   time.Time // since when
	withheld time.Duration
}

func startClock() *clock {
	c := &clock{began: time.Now(), asleep: time.Now(), ended: make(chan struct{})}
	go c.run()
	return c
}

func (c *clock) run() {
	for {
		select {
		case <-c.ended:
			return
		case <-time.After(beat):
		}
		c.mu.Lock()
		c.withheld, c.asleep = c.withheld+c.late(), time.Now()
		c.mu.Unlock()
	}
}

// late is by how much the sleep that is under way is too long.
func (c *clock) late() time.Duration { return max(0, time.Since(c.asleep)-beat-lateness) }

func (c *clock) elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.began) - c.withheld - c.late()
}

func (c *clock) stop() { close(c.ended) }

// Spent is how long something takes, without what the machine does besides.
func Spent(do func()) time.Duration {
	c := startClock()
	defer c.stop()
	do()
	return c.elapsed()
}
