package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Keeps checks that a document holds everything of another one unchanged, except for what lies at paths that are ours.
func Keeps(before, after map[string]any, ours func(path string) bool) error {
	return keepsBelow("", before, after, ours)
}

func keepsBelow(at string, before, after map[string]any, ours func(string) bool) error {
	for _, name := range slices.Sorted(maps.Keys(before)) {
		path := strings.TrimPrefix(at+"."+name, ".")
		if ours != nil && ours(path) {
			continue
		}
		inner, isTable := before[name].(map[string]any)
		if now, still := after[name].(map[string]any); isTable && still {
			if err := keepsBelow(path, inner, now, ours); err != nil {
				return err
			}
		} else if !reflect.DeepEqual(before[name], after[name]) {
			return fmt.Errorf("would change %s from %v to %v, which mcpnet must not", path, before[name], after[name])
		}
	}
	return nil
}
