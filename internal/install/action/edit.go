package action

import (
	"bytes"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// Editor puts mcpnet's part into a text and takes it out again. Its errors follow the name of the file in a sentence.
type Editor interface {
	// Put returns the text with mcpnet's part in it. The recorded edit tells what of it is there already.
	Put(text []byte, recorded manifest.Edit) (after []byte, e manifest.Edit, err error)
	// Take returns the text without what the edit records, or the reason why that must stay.
	Take(text []byte, recorded manifest.Edit) (after []byte, err error)
	// Empty tells whether nothing is left in a text that mcpnet began.
	Empty(text []byte) bool
}

// Change is an edit that is wanted.
type Change struct {
	Part   part.Part
	Path   string
	Editor Editor
	Note   string // what the user should know about it
}

// settle decides on one configuration file. A problem is the reason why it must not be changed.
func (c Change) settle(s Seen, m manifest.Manifest) (a Action, e manifest.Edit, problem string) {
	a = Action{Verb: Edit, Path: c.Path, Part: c.Part, Mode: s.Mode, Source: "mcpnet itself", Reason: c.Note}
	switch {
	case s.What != "":
		return a, e, "is " + s.What + ": mcpnet edits files only. Put a file in its place"
	case !s.There:
		a.Verb, a.Mode = Write, 0o644
	}
	recorded, known := m.FindEdit(c.Path)
	after, e, err := c.Editor.Put(s.Text, recorded)
	if err != nil {
		return a, e, err.Error()
	}
	e.Path, e.Part = c.Path, c.Part
	e.Created = !s.There || (known && recorded.Created)
	a.SHA256, a.Content = Sum(after), after
	if s.There && bytes.Equal(after, s.Text) {
		a.Verb = Unchanged
		return a, e, ""
	}
	a.Diff = diff(c.Path, s, string(after))
	return a, e, ""
}

// retireEdit decides on an edit that is to go.
func retireEdit(e manifest.Edit, s Seen, ed Editor) Action {
	a := Action{Verb: Edit, Path: e.Path, Part: e.Part, Mode: s.Mode}
	switch {
	case !s.There:
		a.Verb, a.Reason = Forget, "it is gone already"
		return a
	case s.What != "":
		a.Verb, a.Reason = Leave, "it is "+s.What+" now"
		return a
	}
	after, err := ed.Take(s.Text, e)
	switch {
	case err != nil:
		a.Verb, a.Reason = Leave, "it "+err.Error()
		return a
	case e.Created && ed.Empty(after):
		a = Action{Verb: Remove, Path: e.Path, Part: e.Part, Reason: "nothing else is in it"}
		a.Diff = diffRemoved(e.Path, s)
		return a
	case bytes.Equal(after, s.Text):
		a.Verb, a.Reason = Forget, "mcpnet's part is gone already"
		return a
	}
	a.SHA256, a.Content = Sum(after), after
	a.Diff = diff(e.Path, s, string(after))
	return a
}
