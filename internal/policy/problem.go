package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// later is the reason for everything that is part of the vocabulary but not
// of this version.
const later = "known, not supported in this version"

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
	b.WriteString(showKey(p.Key))
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

// Problems is the error type of Parse, ParseEndpoint and Policy.Validate:
// every problem of the input, sorted by key and, within a key, in order of
// appearance.
type Problems []Problem

// Error returns the one problem's line, or a line with their number and then
// one numbered line per problem, without a final line break.
func (ps Problems) Error() string {
	if len(ps) == 1 {
		return ps[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems:", len(ps))
	for i, p := range ps {
		fmt.Fprintf(&b, "\n%d. %s", i+1, p)
	}
	return b.String()
}

// err sorts the problems and returns them as an error, nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Key, b.Key) })
	return ps
}

// bad is the Problems of one wrong value; the option's row adds the rest.
func bad(value, reason string) Problems {
	return Problems{{Value: value, Reason: reason}}
}

// showKey quotes a key that would otherwise be invisible or break the line.
func showKey(key string) string {
	odd := func(r rune) bool { return r == unicode.ReplacementChar || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	short := shorten(key)
	if short == "" || strings.ContainsFunc(short, odd) {
		return strconv.Quote(short)
	}
	return short
}

// shorten keeps an error readable when the input is not.
func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
}
