package install

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// An edit is mcpnet's part of a configuration file that is somebody else's. All else in the file stays as it is, byte for
// byte. This file decides and has no effects.

// edit is what the manifest records of one.
type edit struct {
	Path string `json:"path"`
	Part Part   `json:"part"`
	// Created says that the file was not there, and Was is the text of one that held nothing.
	Created bool    `json:"created,omitempty"`
	Was     *string `json:"was,omitempty"`
	// Made are the tables that were not there before, and Keys what was set, in order (JSON).
	Made []string `json:"made,omitempty"`
	Keys []key    `json:"keys,omitempty"`
	// Inserted is the text that was put in, in order (TOML).
	Inserted []string `json:"inserted,omitempty"`
}

// key is a value that was set, with the one that it replaced, both as their text.
type key struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Previous string `json:"previous,omitempty"`
}

// editor puts mcpnet's part into a text and takes it out again. Its errors follow the file's name in a sentence.
type editor interface {
	// put gives the text with mcpnet's part in it. The edit that is recorded tells what of it is there already.
	put(text []byte, recorded edit) (after []byte, e edit, err error)
	// take gives the text without what the edit records, or the reason why that must stay.
	take(text []byte, recorded edit) (after []byte, err error)
	// empty tells that nothing is left in a text that mcpnet began.
	empty(text []byte) bool
}

// change is an edit that is wanted.
type change struct {
	part   Part
	path   string
	editor editor
	note   string // what the user should know of it
	// problem is why the file must not be changed, where that is known already.
	problem error
}

// settleChange decides on one configuration file. A problem is the reason why it must not be changed.
func settleChange(c change, s seen, m manifest) (a Action, e edit, problem string) {
	a = Action{Verb: Edit, Path: c.path, Part: c.part, Mode: s.mode, Source: "mcpnet itself", Reason: c.note}
	switch {
	case s.what != "":
		return a, e, "is " + s.what + ": mcpnet edits files only. Put a file in its place"
	case c.problem != nil:
		return a, e, c.problem.Error()
	case !s.there:
		a.Verb, a.Mode = Write, 0o644
	}
	recorded, known := m.findEdit(c.path)
	after, e, err := c.editor.put(s.text, recorded)
	if err != nil {
		return a, e, err.Error()
	}
	e.Path, e.Part = c.path, c.part
	e.Created = !s.there || (known && recorded.Created)
	a.SHA256, a.content = sum(after), after
	if s.there && bytes.Equal(after, s.text) {
		a.Verb = Unchanged
		return a, e, ""
	}
	a.Diff = diff(c.path, s.there, string(s.text), true, string(after))
	return a, e, ""
}

// retireEdit decides on one that is to go.
func retireEdit(e edit, s seen, ed editor) Action {
	a := Action{Verb: Edit, Path: e.Path, Part: e.Part, Mode: s.mode}
	switch {
	case !s.there:
		a.Verb, a.Reason = Forget, "it is gone already"
		return a
	case s.what != "":
		a.Verb, a.Reason = Leave, "it is "+s.what+" now"
		return a
	}
	after, err := ed.take(s.text, e)
	switch {
	case err != nil:
		a.Verb, a.Reason = Leave, "it "+err.Error()
		return a
	case e.Created && ed.empty(after):
		a = Action{Verb: Remove, Path: e.Path, Part: e.Part, Reason: "nothing else is in it"}
		a.Diff = diff(e.Path, true, string(s.text), false, "")
		return a
	case bytes.Equal(after, s.text):
		a.Verb, a.Reason = Forget, "mcpnet's part is gone already"
		return a
	}
	a.SHA256, a.content = sum(after), after
	a.Diff = diff(e.Path, true, string(s.text), true, string(after))
	return a
}

// keeps checks that everything in one document is in the other as it was, but for what lies at paths that are mcpnet's.
func keeps(before, after map[string]any, ours func(path string) bool) error {
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
