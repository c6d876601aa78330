package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// ParseTOML reads a text into tables. Its error follows the name of the file in a sentence.
func ParseTOML(text string) (map[string]any, error) {
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

// ValidTOML checks a text before it is written: it still holds everything that was there, and it holds what was meant.
func ValidTOML(was map[string]any, after string, holds map[string]any) error {
	now, err := ParseTOML(after)
	if err != nil {
		return fmt.Errorf("has tables that nothing can be added to by text (with mcpnet's part it %w): "+
			"write inline tables and dotted keys as tables", err)
	}
	if err := Keeps(was, now, nil); err != nil {
		return err
	}
	return Keeps(holds, now, nil)
}

// EmptyTOML tells whether a text holds nothing but a version.
func EmptyTOML(text []byte) bool {
	table, err := ParseTOML(string(text))
	delete(table, "version")
	return err == nil && len(table) == 0 && !strings.Contains(string(text), "#")
}

// Below is the table at a path of keys, or nil.
func Below(table map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		table, _ = table[key].(map[string]any)
	}
	return table
}

// Merge copies the values of one table into another, table by table.
func Merge(into, from map[string]any) {
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
		Merge(own, inner)
		into[name] = own
	}
}

// Anys are strings as the values of a parsed array.
func Anys(list []string) []any {
	var out []any
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// Dotted is the name of a table below another one, each key quoted where TOML needs it.
func Dotted(keys []string) string {
	var b strings.Builder
	for _, key := range keys {
		if strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			key = strconv.Quote(key)
		}
		b.WriteString("." + key)
	}
	return b.String()
}

// WriteTable prints a table and the tables in it, each with its full name. The name has no closing bracket.
func WriteTable(b *strings.Builder, name string, table map[string]any) {
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
			WriteTable(b, name+Dotted([]string{key}), inner)
		}
	}
}

// EndOfHeader finds where the first line of a table begins.
func EndOfHeader(text string, keys ...string) (int, bool) {
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

// StartOfArray finds where the first element of a top-level array is.
func StartOfArray(text, key string) (int, bool) {
	at, found := find(text, unstable.KeyValue, []string{key})
	if !found {
		return 0, false
	}
	bracket := strings.IndexByte(text[at:], '[')
	return at + bracket + 1, bracket >= 0
}

// find returns the offset after the name of a table, or of a key before all tables.
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

// Nested puts a table below keys.
func Nested(table map[string]any, keys ...string) map[string]any {
	for i := len(keys) - 1; i >= 0; i-- {
		table = map[string]any{keys[i]: table}
	}
	return table
}
