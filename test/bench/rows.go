package main

import (
	"fmt"
	"strings"
)

// target is what a row has to keep: its ratio where it has one, otherwise its value.
type target struct {
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast,omitempty"`
}

func atMost(limit float64) *target  { return &target{Limit: limit} }
func atLeast(limit float64) *target { return &target{Limit: limit, AtLeast: true} }

func (t target) met(v float64) bool {
	if t.AtLeast {
		return v >= t.Limit
	}
	return v <= t.Limit
}

func (t target) String() string {
	if t.AtLeast {
		return "≥ " + trim(t.Limit)
	}
	return "≤ " + trim(t.Limit)
}

func trim(v float64) string { return fmt.Sprintf("%g", v) }

// row is one line of a table.
type row struct {
	// ID names the row in notes.go.
	ID      string  `json:"id"`
	Section string  `json:"section"`
	What    string  `json:"what"`
	Unit    string  `json:"unit"`
	Value   float64 `json:"value"`
	// Beside names the peer, and Peer is its value; without one there is no ratio.
	Beside string  `json:"beside,omitempty"`
	Peer   float64 `json:"peer,omitempty"`
	Ratio  *ratio  `json:"ratio,omitempty"`
	// Within is how sure the value is, where it is a difference.
	Within *interval `json:"within,omitempty"`
	Target *target   `json:"target,omitempty"`
}

// judged is the number that the target speaks of.
func (r row) judged() float64 {
	if r.Ratio != nil {
		return r.Ratio.Median
	}
	return r.Value
}

func (r row) missed() bool { return r.Target != nil && !r.Target.met(r.judged()) }

// markdown is the row's line in a table.
func (r row) markdown() string {
	cells := []string{r.What, digits(r.Value) + " " + r.Unit, "", "", "", "", ""}
	if r.Ratio != nil {
		cells[2], cells[3], cells[4] = fmt.Sprintf("%s %s (%s)", digits(r.Peer), r.Unit, r.Beside), r.Ratio.String(), r.Ratio.spread()
	}
	if r.Ratio == nil && r.Beside != "" {
		cells[2] = fmt.Sprintf("%s %s (%s)", digits(r.Peer), r.Unit, r.Beside)
	}
	if r.Within != nil {
		cells[4] = r.Within.String() + " " + r.Unit
	}
	if r.Target != nil {
		cells[5], cells[6] = r.Target.String(), "met"
		if r.Ratio == nil {
			cells[5] += " " + r.Unit
		}
		if r.missed() {
			cells[6] = "**missed**"
		}
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// results is everything that was measured.
type results struct {
	samples samples
	rows    []row
	machine machine
}

func newResults() results { return results{samples: samples{}, machine: describeMachine()} }

// compare adds a row of the medians of two series that were measured in turns, and of their ratio.
func (r *results) compare(line row, value, peer string) {
	if len(r.samples[value]) == 0 || len(r.samples[peer]) == 0 {
		return
	}
	line.Value, line.Peer = median(r.samples[value]), median(r.samples[peer])
	both := ratioOf(r.samples[value], r.samples[peer])
	line.Ratio = &both
	r.rows = append(r.rows, line)
}

// adds adds a row of how much more the one of two series that were measured in turns takes than its neighbour.
func (r *results) adds(line row, value, peer string) {
	if len(r.samples[value]) == 0 || len(r.samples[value]) != len(r.samples[peer]) {
		return
	}
	var more []float64
	for i, v := range r.samples[value] {
		more = append(more, v-r.samples[peer][i])
	}
	line.Value, line.Peer = median(more), median(r.samples[peer])
	sure := medianOf(more)
	line.Within = &sure
	r.rows = append(r.rows, line)
}

// face adds a row of one quantile of two series. Quantiles have no ratio of neighbours.
func (r *results) face(line row, value, peer string, share float64) {
	if len(r.samples[value]) == 0 || len(r.samples[peer]) == 0 {
		return
	}
	line.Value, line.Peer = quantile(r.samples[value], share), quantile(r.samples[peer], share)
	r.rows = append(r.rows, line)
}

// state adds a row of one quantile of a series.
func (r *results) state(line row, series string, share float64) {
	if len(r.samples[series]) == 0 {
		return
	}
	line.Value = quantile(r.samples[series], share)
	r.rows = append(r.rows, line)
}
