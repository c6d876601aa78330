package install

import (
	"bytes"
	"fmt"

	"github.com/aymanbagabas/go-udiff"
)

// configuration is a file of an engine's that others write, too, and how mcpnet's part of it is put in and taken out. Both
// functions are pure; no content is a file that is not there.
type configuration struct {
	path  string
	add   func(content []byte, setDefault, force bool) ([]byte, error)
	strip func(content []byte) ([]byte, error)
}

var configurations = map[Part]configuration{
	Docker:     {"/etc/docker/daemon.json", dockerAdd, dockerStrip},
	Containerd: {"/etc/containerd/config.toml", containerdAdd, containerdStrip},
}

// edit is a wanted change of a configuration.
type edit struct {
	part Part
	configuration
	setDefault, force bool
}

// plan decides on the change. What was there before mcpnet goes into the record: as long as nobody else changes the file,
// uninstalling gives it back as it was.
func (e edit) plan(s seen, recorded record, known bool) (a Action, r record, err error) {
	if s.what != "" {
		return a, r, fmt.Errorf("is %s: mcpnet changes regular files only", s.what)
	}
	before, err := e.before(s, recorded, known)
	if err != nil {
		return a, r, err
	}
	after, err := e.add(before, e.setDefault, e.force)
	if err != nil {
		return a, r, err
	}
	a = Action{Verb: Replace, Path: e.path, Part: e.part, Mode: s.mode, SHA256: sum(after), Source: "what it is now", content: after, Diff: difference(e.path, s.content, after)}
	switch {
	case !s.there:
		a.Verb, a.Mode, a.Source = Write, 0o644, "mcpnet itself"
	case bytes.Equal(after, s.content):
		a.Verb = Unchanged
	}
	r = record{Path: e.path, Part: e.part, Mode: a.Mode, SHA256: a.SHA256, Edited: true}
	if before != nil {
		text := string(before)
		r.Before = &text
	}
	return a, r, nil
}

// before is the configuration without mcpnet's part.
func (e edit) before(s seen, recorded record, known bool) ([]byte, error) {
	switch {
	case !s.there:
		return nil, nil
	case known && recorded.Edited && s.sha256 == recorded.SHA256 && recorded.Before == nil:
		return nil, nil
	case known && recorded.Edited && s.sha256 == recorded.SHA256:
		return []byte(*recorded.Before), nil
	}
	return e.strip(s.content)
}

// retireEdit decides how mcpnet's part of a configuration goes.
func retireEdit(r record, s seen) Action {
	a := Action{Verb: Replace, Path: r.Path, Part: r.Part, Mode: s.mode}
	set := func(content []byte, source string) Action {
		a.content, a.SHA256, a.Source, a.Diff = content, sum(content), source, difference(r.Path, s.content, content)
		return a
	}
	switch {
	case !s.there:
		a.Verb, a.Reason = Forget, "it is gone already"
		return a
	case s.sha256 == r.SHA256 && r.Before == nil:
		a.Verb = Remove
		return a
	case s.sha256 == r.SHA256:
		return set([]byte(*r.Before), "what it was before")
	}
	rest, err := configurations[r.Part].strip(s.content)
	switch {
	case err != nil:
		a.Verb, a.Reason = Leave, err.Error()
	case bytes.Equal(rest, s.content):
		a.Verb, a.Reason = Forget, "mcpnet's part of it is gone already"
	default:
		return set(rest, "what it is now, without mcpnet's part")
	}
	return a
}

func difference(path string, before, after []byte) string {
	return udiff.Unified("a"+path, "b"+path, string(before), string(after))
}
