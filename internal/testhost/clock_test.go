package testhost

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// TestWithin: a limit is one of time, where the machine is the test's, and what does not come about is told.
func TestWithin(t *testing.T) {
	began := time.Now()
	told := &teller{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		Within(told, 100*time.Millisecond, "what never is", func() bool { return false })
	}()
	<-done
	if took := time.Since(began); !told.failed.Load() || took < 100*time.Millisecond {
		t.Errorf("told %v after %v", told.failed.Load(), took)
	}
	c := startClock()
	defer c.stop()
	c.mu.Lock()
	c.began, c.withheld = c.began.Add(-time.Hour), time.Hour-time.Minute
	c.mu.Unlock()
	if got := c.elapsed().Round(time.Minute); got != time.Minute {
		t.Errorf("%v of an hour, of which 59 minutes were others'", got)
	}
}

// teller notes that a test would have failed, and ends the goroutine as testing does.
type teller struct {
	testing.TB
	failed atomic.Bool
}

func (t *teller) Helper() {}

func (t *teller) Fatalf(string, ...any) {
	t.failed.Store(true)
	runtime.Goexit()
}
