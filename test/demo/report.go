package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/mcpnet/mcpnet/test/leak"
)

// report prints the table.
func report(w io.Writer, results []result) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\t\tATTEMPT\tEXPECTED\tSEEN\tAFTER\tON A PLAIN BRIDGE")
	for _, r := range results {
		mark := "ok"
		if r.problem() != nil {
			mark = "NO"
		}
		fmt.Fprintf(table, "%s\t\t%s\t%s\t%s\t%s\t%s\n",
			mark, r.what, expected(r.answers), seen(r.seen), r.seen.Took.Round(100*time.Microsecond), control(r.control))
	}
	table.Flush()
}

func expected(answers bool) string {
	if answers {
		return "answers"
	}
	return "closed"
}

func seen(o outcome) string {
	if o.Answered {
		return "answers: " + o.Detail
	}
	return o.Detail
}

func control(o *outcome) string {
	if o == nil {
		return "-"
	}
	return seen(*o)
}

// problem says in what way a result is not as it has to be.
func (r result) problem() error {
	switch {
	case r.seen.Answered != r.answers:
		return fmt.Errorf("%s: expected %s, seen %s", r.what, expected(r.answers), seen(r.seen))
	case r.control != nil && !r.control.Answered:
		return fmt.Errorf("%s: proves nothing, on a plain bridge it fails too: %s", r.what, r.control.Detail)
	// How long a name takes is up to Docker's resolver, not to the kernel.
	case !r.answers && r.probe[0] != "dns" && r.seen.Took > leak.AnswerLimit:
		return fmt.Errorf("%s: answered only after %v", r.what, r.seen.Took)
	}
	return nil
}

// verdict joins all problems.
func verdict(results []result) error {
	var all error
	for _, r := range results {
		all = errors.Join(all, r.problem())
	}
	return all
}
