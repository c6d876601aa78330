package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/config"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// validate checks a text before it is written: dockerd does not start with one that it cannot read.
func (d Editor) validate(before, after []byte) error {
	now, err := keptJSON(before, after)
	if err != nil {
		return err
	}
	runtimes, _ := now[runtimesKey].(map[string]any)
	for _, name := range part.RuntimeNames {
		if want := (map[string]any{"path": part.RuntimePaths[name]}); !reflect.DeepEqual(runtimes[name], want) {
			return fmt.Errorf("would hold %v as %s.%s: report this as a bug", runtimes[name], runtimesKey, name)
		}
	}
	if d.SetDefault && now[defaultKey] != part.DefaultName {
		return fmt.Errorf("would hold %v as %s: report this as a bug", now[defaultKey], defaultKey)
	}
	return nil
}

// keptJSON parses the text that would be written. Nothing but mcpnet's part may differ from before.
func keptJSON(before, after []byte) (now map[string]any, err error) {
	was := map[string]any{}
	for _, d := range []struct {
		text []byte
		into *map[string]any
	}{{before, &was}, {after, &now}} {
		decoder := json.NewDecoder(bytes.NewReader(d.text))
		decoder.UseNumber()
		if err := decoder.Decode(d.into); err != nil {
			return nil, fmt.Errorf("would be no valid JSON (%w): report this as a bug", err)
		}
	}
	ours := []string{defaultKey, runtimesKey + "." + part.RuntimeName, runtimesKey + "." + part.DefaultName}
	if inner, ok := was[runtimesKey].(map[string]any); ok && onlyOurs(inner) {
		ours = append(ours, runtimesKey)
	}
	return now, config.Keeps(was, now, func(path string) bool { return slices.Contains(ours, path) })
}

func onlyOurs(runtimes map[string]any) bool {
	for name := range runtimes {
		if !part.IsRuntime(name) {
			return false
		}
	}
	return true
}
