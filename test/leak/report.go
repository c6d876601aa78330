package leak

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mcpnet/mcpnet/internal/testnet"
)

// Finding is what became of a vector.
type Finding struct {
	ID      string             `json:"id"`
	Promise string             `json:"promise"`
	About   string             `json:"about"`
	Aim     Place              `json:"aim"`
	AimHit  bool               `json:"aimHit"`
	Leaks   []testnet.Sighting `json:"leaks,omitempty"`
}

// TapOnly tells whether nothing but packet sockets of the host saw the
// vector. Such sockets see what arrives at a link even where the host's
// network stack then drops it.
func (f Finding) TapOnly() bool {
	for _, s := range f.Leaks {
		if Place(s.Place) != AtHostTap {
			return false
		}
	}
	return len(f.Leaks) > 0
}

// Report is the outcome of a run. It is JSON as it stands.
type Report struct {
	Seat string `json:"seat"`
	// Before, Reaches and ReachesAfter tell whether the gateway's permitted
	// port could be reached: before the disturbance, after it, after the attack.
	Before       bool          `json:"before"`
	Reaches      bool          `json:"reaches"`
	ReachesAfter bool          `json:"reachesAfter"`
	Findings     []Finding     `json:"findings"`
	Answers      []Answer      `json:"answers"`
	Took         time.Duration `json:"took"`
}

// Leaks are the vectors that broke their promise.
func (r Report) Leaks() []Finding {
	return r.filter(func(f Finding) bool { return len(f.Leaks) > 0 })
}

// Void are the vectors that did not show where they aim.
func (r Report) Void() []Finding {
	return r.filter(func(f Finding) bool { return !f.AimHit })
}

func (r Report) filter(keep func(Finding) bool) []Finding {
	var out []Finding
	for _, f := range r.Findings {
		if keep(f) {
			out = append(out, f)
		}
	}
	return out
}

// Broken is everything in which the network under test broke a promise: the
// gateway is out of reach, vectors leak, denials are wrong or late.
func (r Report) Broken() (broken []string) {
	if !r.Reaches || !r.ReachesAfter {
		broken = append(broken, fmt.Sprintf("the gateway is reached before the attack: %v, after it: %v", r.Reaches, r.ReachesAfter))
	}
	for _, f := range r.Leaks() {
		broken = append(broken, fmt.Sprintf("leak %s: %s: %s", f.ID, f.About, f.summary()))
	}
	if len(r.Answers) == 0 {
		broken = append(broken, "nobody was asked for an answer")
	}
	for _, a := range r.Answers {
		if !a.OK {
			broken = append(broken, a.String())
		}
	}
	return broken
}

func (a Answer) String() string {
	return fmt.Sprintf("answer %s: %s after %v, want %s within %v", a.ID, a.Got, a.Took.Round(time.Microsecond), a.Want, a.Limit)
}

// Finding is the outcome of a vector.
func (r Report) Finding(id string) (Finding, bool) {
	for _, f := range r.Findings {
		if f.ID == id {
			return f, true
		}
	}
	return Finding{}, false
}

// count is how many vectors of a promise there are, and how many leak.
func (r Report) count(promise string) (all, leaks int) {
	for _, f := range r.Findings {
		if f.Promise == promise {
			all++
			leaks += min(1, len(f.Leaks))
		}
	}
	return all, leaks
}

// promises in the order of the vectors.
func (r Report) promises() []string {
	var out []string
	for _, f := range r.Findings {
		if len(out) == 0 || out[len(out)-1] != f.Promise {
			out = append(out, f.Promise)
		}
	}
	return out
}

// String is the report in a few lines: a count per promise, then each that is broken.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%.1f s)\n%s", r.Seat, r.Took.Seconds(), Table(r))
	for _, broken := range r.Broken() {
		fmt.Fprintln(&b, broken)
	}
	return b.String()
}

// summary names the places where a vector was seen.
func (f Finding) summary() string {
	var parts []string
	for _, s := range f.Leaks {
		part := s.Place
		if s.Link != "" {
			part += "/" + s.Link
		}
		parts = append(parts, part+" ("+s.Detail+")")
	}
	if len(parts) > 3 {
		parts = append(parts[:3], fmt.Sprintf("and %d more", len(parts)-3))
	}
	return strings.Join(parts, ", ")
}

// Table sets reports side by side: leaks of each promise's vectors.
func Table(reports ...Report) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(first string, cells ...string) {
		fmt.Fprintf(w, "%s\t%s\t\n", first, strings.Join(cells, "\t"))
	}
	column := func(cell func(Report) string) []string {
		var out []string
		for _, r := range reports {
			out = append(out, cell(r))
		}
		return out
	}
	row("promise", append([]string{"vectors"}, column(func(r Report) string { return r.Seat })...)...)
	for _, promise := range reports[0].promises() {
		all, _ := reports[0].count(promise)
		row(promise, append([]string{fmt.Sprint(all)}, column(func(r Report) string {
			_, leaks := r.count(promise)
			return fmt.Sprint(leaks)
		})...)...)
	}
	row("total", append([]string{fmt.Sprint(len(reports[0].Findings))}, column(func(r Report) string { return fmt.Sprint(len(r.Leaks())) })...)...)
	row("P11 answers", append([]string{fmt.Sprint(len(reports[0].Answers))}, column(Report.answered)...)...)
	row("gateway", append([]string{""}, column(Report.reached)...)...)
	w.Flush()
	return b.String()
}

func (r Report) answered() string {
	right := 0
	for _, a := range r.Answers {
		if a.OK {
			right++
		}
	}
	return fmt.Sprintf("%d right", right)
}

func (r Report) reached() string {
	switch {
	case r.Reaches && r.ReachesAfter:
		return "reached"
	case r.Reaches:
		return "lost"
	}
	return "dead"
}

func compareSightings(a, b testnet.Sighting) int {
	return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Detail, b.Detail))
}
