package install

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// This file edits TOML as it stands, by putting text in and taking the same text out.

// The marks around what was put in.
const (
	begin = "# BEGIN mcpnet: written by `mcpnet install --runtime containerd`, removed by `mcpnet uninstall`\n"
	end   = "# END mcpnet\n"
)

var (
	marked      = regexp.MustCompile(`(?ms)(?:^\n)?^# BEGIN mcpnet\b[^\n]*\n.*?^# END mcpnet\n`)
	importEntry = regexp.MustCompile(regexp.QuoteMeta(strconv.Quote(containerdDropin)) + `(, )?`)
)

// withoutOurs is a text without what was put in: as it is recorded, or, where there is no record of it, by its marks.
func withoutOurs(text string, recorded edit) string {
	if rest, err := removeInserted(text, recorded.Inserted); err == nil && len(recorded.Inserted) > 0 {
		return rest
	}
	return importEntry.ReplaceAllString(marked.ReplaceAllString(text, ""), "")
}

// removeInserted takes pieces of text out, each of which has to be there once, as it was put in.
func removeInserted(text string, pieces []string) (string, error) {
	for _, piece := range slices.Backward(pieces) {
		before, after, found := strings.Cut(text, piece)
		if !found || strings.Contains(after, piece) {
			return "", errors.New("was changed where mcpnet's part is (look for mcpnet): remove that part yourself if nothing needs it")
		}
		text = before + after
	}
	return text, nil
}

func parseTOML(text string) (map[string]any, error) {
	table := map[string]any{}
	if err := toml.Unmarshal([]byte(text), &table); err != nil {
		var where *toml.DecodeError
		if errors.As(err, &where) {
			row, column := where.Position()
			err = fmt.Errorf("line %d, column %d: %w", row, column, err)
		}
		return nil, fmt.Errorf("is not valid TOML (%w): mend it, or move it away", err)
	}
	return table, nil
}

// validTOML checks a text before it is written: everything that was there is, and what was meant is, too.
func validTOML(was map[string]any, after string, holds map[string]any) error {
	now, err := parseTOML(after)
	if err != nil {
		return fmt.Errorf("has tables that nothing can be added to by text (with mcpnet's part it %w): write inline tables and dotted keys as tables", err)
	}
	if err := keeps(was, now, nil); err != nil {
		return err
	}
	return keeps(holds, now, nil)
}

// emptyTOML tells that nothing but the version is left.
func emptyTOML(text []byte) bool {
	table, err := parseTOML(string(text))
	delete(table, "version")
	return err == nil && len(table) == 0 && !strings.Contains(string(text), "#")
}

// below is a table in others, or nil.
func below(table map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		table, _ = table[key].(map[string]any)
	}
	return table
}

// merge puts a table's values into another one, table by table.
func merge(into, from map[string]any) {
	for name, value := range from {
		inner, isTable := value.(map[string]any)
		if !isTable {
			into[name] = value
			continue
		}
		own := map[string]any{} // never the other's own map
		if already, ok := into[name].(map[string]any); ok {
			own = already
		}
		merge(own, inner)
		into[name] = own
	}
}

func anys(list []string) []any {
	var out []any
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

func dotted(keys []string) string {
	var b strings.Builder
	for _, key := range keys {
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			key = strconv.Quote(key)
		}
		b.WriteString("." + key)
	}
	return b.String()
}

// writeTable prints a table and those in it, each with its full name. The name comes without its closing bracket.
func writeTable(b *strings.Builder, name string, table map[string]any) {
	b.WriteString(name + "]\n")
	keys := slices.Sorted(maps.Keys(table))
	for _, key := range keys {
		if _, isTable := table[key].(map[string]any); isTable {
			continue
		}
		line, _ := toml.Marshal(map[string]any{key: table[key]}) // it was parsed from TOML: it cannot fail
		b.Write(line)
	}
	for _, key := range keys {
		if inner, isTable := table[key].(map[string]any); isTable {
			writeTable(b, name+dotted([]string{key}), inner)
		}
	}
}

// endOfHeader finds where the first line of a table begins.
func endOfHeader(text string, keys ...string) (int, bool) {
	at, found := find(text, unstable.Table, keys)
	if !found {
		return 0, false
	}
	line := strings.IndexByte(text[at:], '\n')
	if line < 0 {
		return 0, false
	}
	return at + line + 1, true
}

// startOfArray finds where the first element of a top-level array is.
func startOfArray(text, key string) (int, bool) {
	at, found := find(text, unstable.KeyValue, []string{key})
	if !found {
		return 0, false
	}
	bracket := strings.IndexByte(text[at:], '[')
	return at + bracket + 1, bracket >= 0
}

// find gives the place behind the name of a table, or of a key before all tables.
func find(text string, kind unstable.Kind, keys []string) (int, bool) {
	var p unstable.Parser
	p.Reset([]byte(text))
	for p.NextExpression() {
		e := p.Expression()
		if kind == unstable.KeyValue && e.Kind != unstable.KeyValue {
			return 0, false
		}
		if e.Kind != kind {
			continue
		}
		var name []string
		at := 0
		for it := e.Key(); it.Next(); {
			name = append(name, string(it.Node().Data))
			at = int(it.Node().Raw.Offset + it.Node().Raw.Length)
		}
		if slices.Equal(name, keys) {
			return at, true
		}
	}
	return 0, false
}
