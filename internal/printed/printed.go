// Package printed makes text of others fit to be shown to people: names of networks, containers and processes, and what
// users wrote. Such text can hold whatever clears a terminal, ends a line or turns its direction around.
package printed

import (
	"reflect"
	"strconv"
	"strings"
	"unicode"
)

// maxName is how many bytes of a name are shown.
const maxName = 120

// Name is a name within a sentence: as it is, or quoted where it would be invisible, end a line or pass for several
// words.
func Name(name string) string {
	short := name
	if len(short) > maxName {
		short = strings.ToValidUTF8(short[:maxName], "") + "…"
	}
	odd := func(r rune) bool { return !visible(r) || unicode.IsSpace(r) || r == '"' }
	if short == "" || strings.ContainsFunc(short, odd) {
		return strconv.Quote(short)
	}
	return short
}

// Text is a line, or a cell of a table. What cannot be seen is written as Go writes it in a string.
func Text(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !visible(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if visible(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// Lines is a text of several lines.
func Lines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = Text(line)
	}
	return strings.Join(lines, "\n")
}

// visible reports whether a character shows itself. Bytes that are no UTF-8 are read as the replacement character.
func visible(r rune) bool { return r != unicode.ReplacementChar && unicode.IsPrint(r) }

// All is a copy of a value in which every string is fit to be printed in a line.
func All[T any](value T) T {
	return all(reflect.ValueOf(&value).Elem()).Interface().(T)
}

func all(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.String:
		out.SetString(Text(v.String()))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out.Field(i).Set(all(v.Field(i)))
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(all(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(all(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
			for _, key := range v.MapKeys() {
				out.SetMapIndex(all(key), all(v.MapIndex(key)))
			}
		}
	}
	return out
}
