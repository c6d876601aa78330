package install

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/tailscale/hujson"
)

// This file edits JSON as it stands: package encoding/json would sort keys, and drop everybody's formatting.

// readDaemon reads an object, strictly: dockerd takes no comments and no trailing commas.
func readDaemon(text []byte) (hujson.Value, *hujson.Object, error) {
	doc, err := hujson.Parse(text)
	if err != nil {
		return doc, nil, fmt.Errorf("is not valid JSON (%w): mend it, or move it away", err)
	}
	if !doc.IsStandard() {
		return doc, nil, fmt.Errorf("is not valid JSON (it has comments or trailing commas, with which dockerd does not start): mend it, or move it away")
	}
	top, ok := doc.Value.(*hujson.Object)
	if !ok {
		return doc, nil, fmt.Errorf("is not a JSON object: mend it, or move it away")
	}
	known := map[string]bool{}
	for _, m := range top.Members {
		name := m.Name.Value.(hujson.Literal).String()
		if known[name] {
			return doc, nil, fmt.Errorf("has the key %q twice: remove one", name)
		}
		known[name] = true
	}
	return doc, top, nil
}

// runtimesOf is the table of runtimes, or nil where there is none, which holds no member.
func runtimesOf(top *hujson.Object) (*hujson.Object, error) {
	i := member(top, runtimesKey)
	if i < 0 {
		return nil, nil
	}
	runtimes, ok := top.Members[i].Value.Value.(*hujson.Object)
	if !ok {
		return nil, fmt.Errorf("has a key %s that is not an object but %s: make it an object of runtimes, or remove it", runtimesKey, raw(top.Members[i].Value))
	}
	return runtimes, nil
}

// member finds a key, or gives -1.
func member(o *hujson.Object, name string) int {
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

// add appends a key, behind this white space.
func add(o *hujson.Object, name string, v hujson.ValueTrimmed, extra hujson.Extra) {
	o.Members = append(o.Members, hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: extra, Value: hujson.String(name)},
		Value: hujson.Value{BeforeExtra: []byte(" "), Value: v},
	})
}

// drop takes a key away: the opposite of add, to the byte.
func drop(o *hujson.Object, i int) {
	o.Members = append(o.Members[:i:i], o.Members[i+1:]...)
	if n := len(o.Members); n > 0 && n == i { // white space before a comma that is none any more
		last := &o.Members[n-1].Value
		o.AfterExtra = append(append([]byte{}, last.AfterExtra...), o.AfterExtra...)
		last.AfterExtra = nil
	}
}

// before is the white space that a new key gets: that of the other keys, or one step more than outside.
func before(o *hujson.Object, outside string) hujson.Extra {
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

// closing is the white space before the brace that closes a new object in this one.
func closing(o *hujson.Object) hujson.Extra {
	extra := before(o, "")
	if len(extra) == 0 || extra[0] != '\n' {
		return nil
	}
	return extra
}

func parsed(text string) hujson.ValueTrimmed {
	v, err := hujson.Parse([]byte(text))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", text, err)) // it was packed here, or is a constant
	}
	return v.Value
}

// raw is a value without the white space around it.
func raw(v hujson.Value) string {
	return hujson.Value{Value: v.Value}.String()
}

func sameJSON(a, b string) bool {
	var one, other any
	return json.Unmarshal([]byte(a), &one) == nil && json.Unmarshal([]byte(b), &other) == nil && reflect.DeepEqual(one, other)
}
