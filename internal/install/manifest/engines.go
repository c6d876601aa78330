package manifest

import (
	"maps"
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// HasEngine tells whether the runtime is registered with an engine.
func (m Manifest) HasEngine() bool {
	return slices.ContainsFunc(part.Engines, func(e part.Engine) bool { return m.has(e.Part()) })
}

func (m Manifest) has(p part.Part) bool {
	return slices.ContainsFunc(m.Files, func(r Record) bool { return r.Part == p }) ||
		slices.ContainsFunc(m.Edits, func(e Edit) bool { return e.Part == p })
}

// Choose records options that were chosen.
func (m *Manifest) Choose(chosen map[part.Part]part.Options) {
	for p, o := range chosen {
		if o == (part.Options{}) {
			continue
		}
		if m.Options == nil {
			m.Options = map[part.Part]part.Options{}
		}
		m.Options[p] = o
	}
}

// DropChoices forgets the options of engines of which nothing is left.
func (m *Manifest) DropChoices() {
	maps.DeleteFunc(m.Options, func(p part.Part, _ part.Options) bool { return !m.has(p) })
	if len(m.Options) == 0 {
		m.Options = nil
	}
}
