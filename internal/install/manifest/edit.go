package manifest

import (
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// Edit is mcpnet's part of a configuration file that is somebody else's.
type Edit struct {
	Path string    `json:"path"`
	Part part.Part `json:"part"`
	// Created says that the file was not there, and Was is the text of one that held nothing.
	Created bool    `json:"created,omitempty"`
	Was     *string `json:"was,omitempty"`
	// Made are the tables that were not there before, and Keys what was set, in order (JSON).
	Made []string `json:"made,omitempty"`
	Keys []Key    `json:"keys,omitempty"`
	// Inserted is the text that was inserted, in order (TOML).
	Inserted []string `json:"inserted,omitempty"`
}

// Key is a value that was set, with the one that it replaced, both as text.
type Key struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Previous string `json:"previous,omitempty"`
}

// Key returns what was set under a name.
func (e Edit) Key(name string) (Key, bool) {
	i := slices.IndexFunc(e.Keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return e.Keys[i], true
}

// FindEdit returns the edit of a file.
func (m Manifest) FindEdit(path string) (Edit, bool) {
	i := slices.IndexFunc(m.Edits, func(e Edit) bool { return e.Path == path })
	if i < 0 {
		return Edit{}, false
	}
	return m.Edits[i], true
}

// PutEdit replaces the record of an edit. An edit that changes nothing is not recorded.
func (m *Manifest) PutEdit(e Edit) {
	m.ForgetEdit(e.Path)
	if len(e.Keys)+len(e.Inserted) > 0 {
		m.Edits = append(m.Edits, e)
	}
}

// ForgetEdit drops the record of an edit.
func (m *Manifest) ForgetEdit(path string) {
	m.Edits = slices.DeleteFunc(m.Edits, func(e Edit) bool { return e.Path == path })
}
