package daemon

import (
	"errors"
	"fmt"

	"github.com/tailscale/hujson"

	"github.com/mcpnet/mcpnet/internal/install/config"
)

// readObject reads a JSON object. It is strict, since dockerd accepts no comments and no trailing commas.
func readObject(text []byte) (hujson.Value, *hujson.Object, error) {
	doc, err := hujson.Parse(text)
	if err != nil {
		return doc, nil, fmt.Errorf("is not valid JSON (%w): mend it, or move it away", err)
	}
	if !doc.IsStandard() {
		return doc, nil, errors.New("is not valid JSON " +
			"(it has comments or trailing commas, with which dockerd does not start): mend it, or move it away")
	}
	top, ok := doc.Value.(*hujson.Object)
	if !ok {
		return doc, nil, errors.New("is not a JSON object: mend it, or move it away")
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

// runtimesOf is the table of runtimes, or nil where there is none.
func runtimesOf(top *hujson.Object) (*hujson.Object, error) {
	i := config.Member(top, runtimesKey)
	if i < 0 {
		return nil, nil
	}
	runtimes, ok := top.Members[i].Value.Value.(*hujson.Object)
	if !ok {
		return nil, fmt.Errorf("has a key %s that is not an object but %s: make it an object of runtimes, or remove it",
			runtimesKey, config.Raw(top.Members[i].Value))
	}
	return runtimes, nil
}
