package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/tailscale/hujson"
)

// Member finds a key, or returns -1.
func Member(o *hujson.Object, name string) int {
	if o == nil {
		return -1
	}
	for i, m := range o.Members {
		if m.Name.Value.(hujson.Literal).String() == name {
			return i
		}
	}
	return -1
}

// Add appends a key, with this white space before it.
func Add(o *hujson.Object, name string, v hujson.ValueTrimmed, extra hujson.Extra) {
	o.Members = append(o.Members, hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: extra, Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: []byte(" "), Value: v},
	})
}

// Drop removes a key. It undoes Add to the byte.
func Drop(o *hujson.Object, i int) {
	o.Members = append(o.Members[:i:i], o.Members[i+1:]...)
	if n := len(o.Members); n > 0 && n == i { // the comma after the last key is gone, the white space before it is not
		last := &o.Members[n-1].Value
		o.AfterExtra = append(append([]byte{}, last.AfterExtra...), o.AfterExtra...)
		last.AfterExtra = nil
	}
}

// Indent is the white space before a new key: that of the other keys, or one step more than outside.
func Indent(o *hujson.Object, outside string) hujson.Extra {
	n := len(o.Members)
	switch {
	case n > 1 || (n == 1 && len(o.Members[0].Name.BeforeExtra) > 0):
		return o.Members[n-1].Name.BeforeExtra
	case n == 1:
		return hujson.Extra(" ")
	case len(o.AfterExtra) == 0:
		return nil
	}
	indent := outside[strings.LastIndexByte(outside, '\n')+1:]
	if strings.TrimSpace(indent) != "" || len(indent) < 1 || outside == indent {
		indent = "    "
	}
	return hujson.Extra(string(o.AfterExtra) + indent)
}

// Closing is the white space before the brace that closes a new object in this one.
func Closing(o *hujson.Object) hujson.Extra {
	extra := Indent(o, "")
	if len(extra) == 0 || extra[0] != '\n' {
		return nil
	}
	return extra
}

// MustParse parses a text that is known to be JSON: it was packed before, or is a constant.
func MustParse(text string) hujson.ValueTrimmed {
	v, err := hujson.Parse([]byte(text))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return v.Value
}

// Raw is the text of a value without the white space around it.
func Raw(v hujson.Value) string {
	return hujson.Value{Value: v.Value}.String()
}

// SameJSON tells whether two texts have the same value.
func SameJSON(a, b string) bool {
	var one, other any
	return json.Unmarshal([]byte(a), &one) == nil && json.Unmarshal([]byte(b), &other) == nil &&
		reflect.DeepEqual(one, other)
}
