package leak

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// guarantees is the page whose numbers tests hold to what they see, from a directory of tests.
const guarantees = "../../docs/guarantees.md"

// Documented is a cell of a table in docs/guarantees.md, by the beginning
// of its row and the name of its column.
func Documented(row, column string) (string, error) {
	page, err := os.ReadFile(guarantees)
	if err != nil {
		return "", err
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
			return cells[i], nil
		}
	}
	return "", fmt.Errorf("docs/guarantees.md has no %q for %s", column, row)
}
