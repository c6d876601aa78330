// Package strictjson reads JSON documents by which mcpnet judges, and which other programs act on. It refuses a
// document that programs read in different ways: encoding/json takes a name in any case, and the last of two members
// with one name; other readers take the exact name, or the first member.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// Unmarshal reads a document as json.Unmarshal does, where every program reads it so.
func Unmarshal(data []byte, into any) error {
	if err := Check(data, into); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// Check refuses a document that has two members of one name in an object, a name that a reader takes for a member
// of the shape without regard to case, bytes that are not UTF-8, a text that holds a NUL, where C programs end it, or
// more than one value. The shape is a value of the type that programs read the document into.
func Check(data []byte, shape any) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	if err := checkValue(d, reflect.TypeOf(shape)); err != nil {
		return describe(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more follows behind the JSON value")
	}
	if bytes.Contains(data, []byte(escapedNUL)) { // in most documents there is nothing to look for
		return checkNUL(data)
	}
	return nil
}

// escapedNUL is the one way in which JSON writes a NUL, unless the backslash is itself escaped.
const escapedNUL = `\u0000`

func checkNUL(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return fmt.Errorf("%q holds a NUL, where some programs end a text: leave it out", d.StackPointer())
		}
	}
}

// describe removes what jsontext says of itself.
func describe(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Errorf("%s stands there twice", syntax.JSONPointer)
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// checkValue checks the next value, which is read into a type. Of nil nothing is known.
func checkValue(d *jsontext.Decoder, t reflect.Type) error {
	t = read(t)
	switch kind := d.PeekKind(); {
	case t == nil:
		return d.SkipValue() // two members of one name are an error there, too
	case kind == '{' && t.Kind() == reflect.Struct:
		return checkMembers(d, members(t))
	case kind == '{' && t.Kind() == reflect.Map:
		return checkElements(d, t.Elem(), '}')
	case kind == '[' && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		return checkElements(d, t.Elem(), ']')
	}
	return d.SkipValue()
}

// read is the type that a value is read into: nil for one that reads itself.
func read(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	return t
}

// checkElements checks the elements of an array, or of an object whose names are data.
func checkElements(d *jsontext.Decoder, t reflect.Type, end jsontext.Kind) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != end {
		if end == '}' {
			if _, err := d.ReadToken(); err != nil {
				return err
			}
		}
		if err := checkValue(d, t); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// checkMembers checks an object whose members are known.
func checkMembers(d *jsontext.Decoder, known map[string]reflect.Type) error {
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		t, exact := known[name]
		if !exact {
			if err := checkUnknown(d, name, known); err != nil {
				return err
			}
		}
		if err := checkValue(d, t); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// checkUnknown refuses a name that differs from a known one in case alone, as encoding/json sees it: ſ is an s.
func checkUnknown(d *jsontext.Decoder, name string, known map[string]reflect.Type) error {
	for member := range known {
		if strings.EqualFold(member, name) {
			return fmt.Errorf("%s: %+q is not %q, but some programs take it for that: write it exactly",
				d.StackPointer(), name, member)
		}
	}
	return nil
}

// shapes remembers the members of types: a document has many values of one.
var shapes sync.Map

// members are the names that encoding/json reads into a struct, with the types of their values.
func members(t reflect.Type) map[string]reflect.Type {
	if have, ok := shapes.Load(t); ok {
		return have.(map[string]reflect.Type)
	}
	have := membersOf(t)
	shapes.Store(t, have)
	return have
}

func membersOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := read(f.Type)
		switch {
		case f.Tag.Get("json") == "-":
		case f.Anonymous && name == "" && inner != nil && inner.Kind() == reflect.Struct:
			for promoted, t := range members(inner) {
				if _, hidden := out[promoted]; !hidden {
					out[promoted] = t
				}
			}
		case !f.IsExported():
		case name != "":
			out[name] = f.Type
		default:
			out[f.Name] = f.Type
		}
	}
	return out
}
