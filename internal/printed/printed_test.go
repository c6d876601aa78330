package printed_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/printed"
)

func TestName(t *testing.T) {
	for name, want := range map[string]string{
		"mcp-secure": "mcp-secure", "Büro_1.x": "Büro_1.x", "": `""`, "two words": `"two words"`, `a"b`: `"a\"b"`,
		"a\x1b[2Jb": `"a\x1b[2Jb"`, "a\nNetwork b": `"a\nNetwork b"`, "a\u202eb": `"a\u202eb"`, "a\xffb": `"a\xffb"`, "a\u00a0b": `"a\u00a0b"`,
		strings.Repeat("x", 200): strings.Repeat("x", 120) + "…",
	} {
		if got := printed.Name(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

func TestAll(t *testing.T) {
	type Inner struct {
		Text string
		more string
	}
	type value struct {
		Inner
		List   []Inner
		ByName map[string]*Inner
		Count  int
		None   *Inner
	}
	v := value{Inner{"a\tb", "\x1b"}, []Inner{{Text: "x\r"}}, map[string]*Inner{"k\n": {Text: "\x07"}}, 3, nil}
	want := value{Inner{`a\tb`, "\x1b"}, []Inner{{Text: `x\r`}}, map[string]*Inner{`k\n`: {Text: `\a`}}, 3, nil}
	if diff := cmp.Diff(want, printed.All(v), cmp.AllowUnexported(value{}, Inner{})); diff != "" {
		t.Error(diff)
	}
	if v.ByName["k\n"].Text != "\x07" {
		t.Error("the value itself is changed")
	}
}

// FuzzText: nothing that is printed moves a cursor, ends a line or hides.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"plain", "\x1b[2J", "a\nb", "\xff", "\u202e", "\u2028", "é\u0301"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, shown := range []string{printed.Text(text), printed.Name(text), strings.ReplaceAll(printed.Lines(text), "\n", "")} {
			if i := strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%q is shown as %q", text, shown)
			}
		}
		if got := printed.Text(printed.Text(text)); got != printed.Text(text) {
			t.Errorf("%q twice: %q", text, got)
		}
	})
}
