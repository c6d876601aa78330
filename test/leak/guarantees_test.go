package leak

import (
	"strconv"
	"testing"
)

// checkDocumented holds a column of docs/guarantees.md to a report. What only packet sockets of the host saw is not
// counted there.
func checkDocumented(t *testing.T, column string, r Report) {
	t.Helper()
	for _, promise := range r.promises() {
		all, leaks := 0, 0
		for _, f := range r.Findings {
			if f.Promise == promise {
				all++
				if len(f.Leaks) > 0 && !f.TapOnly() {
					leaks++
				}
			}
		}
		if documented(t, promise, "vectors") != all || documented(t, promise, column) != leaks {
			t.Errorf("docs/guarantees.md: %s: %q says %d of %d, seen: %d of %d", promise, column,
				documented(t, promise, column), documented(t, promise, "vectors"), leaks, all)
		}
	}
}

// documented is a number of the first table in docs/guarantees.md.
func documented(t *testing.T, promise, column string) int {
	t.Helper()
	cell := documentedCell(t, promise+" ", column)
	n, err := strconv.Atoi(cell)
	if err != nil {
		t.Fatalf("docs/guarantees.md: %s, %s: %v", promise, column, err)
	}
	return n
}

func documentedCell(t *testing.T, row, column string) string {
	t.Helper()
	cell, err := Documented(row, column)
	if err != nil {
		t.Fatal(err)
	}
	return cell
}
