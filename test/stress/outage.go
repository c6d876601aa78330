package stress

import (
	"fmt"
	"time"
)

const (
	// steady is how long probes have to arrive again before the traffic counts as restored.
	steady = 100 * time.Millisecond
	// silence is the longest pause between probes that is no outage; a loaded machine has pauses.
	silence = 100 * time.Millisecond
)

// Outage is what the permitted traffic did around a fault.
type Outage struct {
	// Longest is the longest pause between two probes.
	Longest time.Duration
	// Back says that probes arrived steadily at the end, Since how long after the fault began.
	Back  bool
	Since time.Duration
}

// String tells it in a line.
func (o Outage) String() string {
	if !o.Back {
		return "permitted traffic did not come back"
	}
	return fmt.Sprintf("permitted traffic back after %v, longest pause %v",
		o.Since.Round(time.Millisecond), o.Longest.Round(time.Millisecond))
}

// Through runs a fault and watches the permitted traffic until it is back, or for the limit.
func (s *Traffic) Through(limit time.Duration, fault func()) Outage {
	began := time.Now()
	fault()
	for time.Since(began) < limit {
		time.Sleep(5 * time.Millisecond)
		if o := s.outage(began); o.Back {
			return o
		}
	}
	return s.outage(began)
}

// Passes tells whether probes arrive now, waiting for them for the limit.
func (s *Traffic) Passes(limit time.Duration) bool {
	return s.Through(limit, func() {}).Back
}

// outage looks at the probes since shortly before a moment.
func (s *Traffic) outage(began time.Time) Outage {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := Outage{}
	last, restored := began, began
	for _, probe := range s.probes {
		if probe.Before(began) {
			continue
		}
		pause := probe.Sub(last)
		if pause > silence {
			restored = probe
		}
		last, o.Longest = probe, max(o.Longest, pause)
	}
	o.Since = restored.Sub(began)
	o.Back = last.Sub(restored) >= steady && time.Since(last) <= silence
	return o
}
