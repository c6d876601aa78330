package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var number = regexp.MustCompile(`\d+`)

// TestLeakTable: the README's numbers are those of the page that tests hold to what they see.
func TestLeakTable(t *testing.T) {
	table := func(path, header string) (rows []string) {
		for _, line := range readPage(t, path).lines {
			if strings.HasPrefix(line, header) || len(rows) > 0 {
				if !strings.HasPrefix(line, "|") {
					break
				}
				rows = append(rows, line)
			}
		}
		if len(rows) < 3 {
			t.Fatalf("%s has no table that begins with %q", path, header)
		}
		return rows[2:]
	}
	shown := number.FindAllString(table("README.md", "| Docker `bridge` |")[0], -1)
	var measured []string
	for _, row := range table("docs/guarantees.md", "| network | Docker 20.10 | Docker 28.5 |") {
		cells := strings.Split(row, "|")
		measured = append(measured, number.FindString(cells[3]))
	}
	slices.Sort(shown)
	slices.Sort(measured)
	if !slices.Equal(shown, measured) {
		t.Errorf("README.md shows %v, docs/guarantees.md says %v", shown, measured)
	}
}
