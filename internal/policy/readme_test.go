package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/policy"
)

// TestReadme holds the README's table to the keys there are.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var later []string
	for _, d := range policy.Doc() {
		switch {
		case !d.Supported:
			later = append(later, "`"+strings.TrimPrefix(d.Key, "mcpnet.")+"`")
		case !d.Endpoint:
			row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", d.Key, strings.ReplaceAll(d.Values, "|", `\|`), d.Default, d.Meaning)
			if !strings.Contains(string(readme), row) {
				t.Errorf("README.md lacks the row\n%s", row)
			}
		}
	}
	// Lines of the README are wrapped; the list is compared without its line breaks.
	if list := strings.Join(later, ", "); !strings.Contains(strings.ReplaceAll(string(readme), "\n", " "), list) {
		t.Errorf("README.md lacks the later keys: %s", list)
	}
}
