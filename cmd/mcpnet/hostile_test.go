package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"github.com/mcpnet/mcpnet/internal/operator"
)

// hostile is what a name or a process may be called.
const hostile = "\x1b[2J\x1b]0;x\x07\r\nNetwork all-is-well (docker)\u202e\t"

// poisoned is a document in which every text but its schema ends in another, names of members included.
func poisoned(t *testing.T, document, with string) string {
	t.Helper()
	var value map[string]any
	check(t, json.Unmarshal([]byte(document), &value))
	schema := value["schema"]
	value = poison(value, with).(map[string]any)
	value["schema"] = schema
	text, err := json.Marshal(value)
	check(t, err)
	return string(text)
}

func poison(value any, with string) any {
	switch v := value.(type) {
	case string:
		return v + with
	case []any:
		for i := range v {
			v[i] = poison(v[i], with)
		}
	case map[string]any:
		for key := range v {
			v[key] = poison(v[key], with)
		}
		for _, free := range []string{"policy", "denied"} {
			if m, ok := v[free].(map[string]any); ok {
				m["mcpnet."+with] = map[bool]any{true: "x", false: map[string]any{"packets": 1}}[free == "policy"]
			}
		}
	}
	return value
}

// TestHostileText: nothing of what others named reaches the terminal but as visible text in its place.
func TestHostileText(t *testing.T) {
	plan := `{"schema":"mcpnet.plan/1","steps":[{"network":"n","namespace":"mcp-secure","action":"load"}]}`
	for _, command := range []string{"status", "plan"} {
		show := func(text string) string {
			socket := plugin(t, http.StatusOK, map[string]string{operator.StatusPath: poisoned(t, broken, text),
				operator.PlanPath: poisoned(t, plan, text)})
			_, out, complaints := mcpnet(command, "--socket", socket)
			return out + complaints
		}
		out := show(hostile)
		wantVisible(t, command, out)
		if more := strings.Count(out, "\n") - strings.Count(show("x"), "\n"); more != 0 {
			t.Errorf("%s: %d lines more:\n%s", command, more, out)
		}
		if !strings.Contains(out, `\x1b[2J`) {
			t.Errorf("%s does not show the text: this shows nothing:\n%s", command, out)
		}
	}
	text, err := json.Marshal(map[string]string{"Err": "network " + hostile})
	check(t, err)
	socket := plugin(t, http.StatusInternalServerError, map[string]string{operator.StatusPath: string(text)})
	_, out, complaints := mcpnet("status", "--socket", socket)
	wantVisible(t, "error", out+complaints)
}

func wantVisible(t *testing.T, what, out string) {
	t.Helper()
	if i := strings.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%s prints %q", what, out[max(0, i-20):min(len(out), i+20)])
	}
}
