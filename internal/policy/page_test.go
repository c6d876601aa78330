package policy_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/policy"
)

var update = flag.Bool("update", false, "write the tables of docs/policy.md anew")

// page shows the table of keys to people.
const page = "../../docs/policy.md"

// TestPage holds the tables of the page to the keys there are.
func TestPage(t *testing.T) {
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := string(content)
	for name, keep := range map[string]func(policy.KeyDoc) bool{
		"network":  func(d policy.KeyDoc) bool { return d.Supported && !d.Endpoint },
		"endpoint": func(d policy.KeyDoc) bool { return d.Supported && (d.Endpoint || d.Narrows) },
		"later":    func(d policy.KeyDoc) bool { return !d.Supported },
	} {
		if want, err = replaceTable(want, name, table(keep)); err != nil {
			t.Fatalf("%s: %v", page, err)
		}
	}
	if *update {
		err = os.WriteFile(page, []byte(want), 0o644)
	} else if diff := cmp.Diff(string(content), want); diff != "" {
		t.Errorf("%s differs; write it anew with -update (-page +keys):\n%s", page, diff)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func table(keep func(policy.KeyDoc) bool) string {
	var b strings.Builder
	b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
	for _, d := range policy.Doc() {
		if keep(d) {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Key, strings.ReplaceAll(d.Values, "|", `\|`), d.Default, d.Meaning)
		}
	}
	return b.String()
}

// replaceTable replaces what stands between the marks of a table.
func replaceTable(text, name, table string) (string, error) {
	before, rest, begins := strings.Cut(text, "<!-- "+name+" -->\n")
	_, after, ends := strings.Cut(rest, "<!-- end -->\n")
	if !begins || !ends {
		return "", fmt.Errorf("no place for the table %q", name)
	}
	return before + "<!-- " + name + " -->\n" + table + "<!-- end -->\n" + after, nil
}
