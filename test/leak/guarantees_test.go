package leak

import (
	"os"
	"slices"
	"strconv"
	"strings"
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

// documentedCell is a cell of a table in docs/guarantees.md, by the beginning
// of its row and the name of its column.
func documentedCell(t *testing.T, row, column string) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	var header []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			header = nil
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if header == nil {
			header = cells
		}
		if !strings.HasPrefix(cells[1]+" ", row) {
			continue
		}
		if i := slices.Index(header, column); i >= 0 {
			return cells[i]
		}
	}
	t.Fatalf("docs/guarantees.md has no %q for %s", column, row)
	return ""
}
