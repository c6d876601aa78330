// Package problem describes what is wrong with a user's input: each problem is one line that names the key, the value,
// what is accepted, and the valid key that was probably meant. An input is refused with all of its problems at once.
package problem

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/mcpnet/mcpnet/internal/printed"
)

// maxShown is how many bytes of a user's text an error line repeats.
const maxShown = 120

// Problem is one thing that is wrong with the input.
type Problem struct {
	Key      string // the option as given, or the engine's flag ("--ipv6"); never empty unless the given key was
	Value    string // the value, or the item of a list, that is wrong; empty when it was absent or empty
	Reason   string // what is wrong, without a final stop
	Accepted string // what is accepted instead; may be empty
	Nearest  string // the valid key, or for a bad value the valid value, that was probably meant; may be empty
}

// String renders the problem as one line, whatever bytes the input held.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(printed.Name(p.Key))
	if p.Value != "" {
		b.WriteString("=" + strconv.Quote(shorten(p.Value)))
	}
	b.WriteString(": " + p.Reason)
	if p.Accepted != "" {
		b.WriteString("; accepted: " + p.Accepted)
	}
	if p.Nearest != "" {
		b.WriteString("; did you mean " + p.Nearest + "?")
	}
	return b.String()
}

// List is an error that holds every problem of an input.
type List []Problem

// Error returns the one problem's line, or a line with their number and then
// one numbered line per problem, without a final line break.
func (l List) Error() string {
	if len(l) == 1 {
		return l[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems:", len(l))
	for i, p := range l {
		fmt.Fprintf(&b, "\n%d. %s", i+1, p)
	}
	return b.String()
}

// Err returns the problems as an error, nil if there are none: sorted by key and, within a key, in order of appearance.
func (l List) Err() error {
	if len(l) == 0 {
		return nil
	}
	return List(slices.SortedStableFunc(slices.Values(l), func(a, b Problem) int { return cmp.Compare(a.Key, b.Key) }))
}

// Of finds the problems in an error. Any other error comes back as it is.
func Of(err error) (List, error) {
	var l List
	if errors.As(err, &l) {
		return l, nil
	}
	return nil, err
}

// shorten keeps an error readable when the input is not.
func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}
