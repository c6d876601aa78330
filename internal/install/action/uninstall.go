package action

import (
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// ForUninstall removes what was installed and is still as it was, and the directories that this empties. Configuration
// that names a file goes before the file. The editors are those of the parts whose configuration mcpnet edits.
func ForUninstall(parts []part.Part, v View, m manifest.Manifest, editors map[part.Part]Editor) ([]Action, error) {
	next := m.Clone()
	actions, stuck := retireEdits(parts, v, m, &next, editors)
	for _, r := range m.ProgramsLast() {
		if !slices.Contains(parts, r.Part) {
			continue
		}
		a := retire(r, v.Files[r.Path])
		switch {
		case stuck[r.Part]:
			a = Action{Verb: Leave, Path: r.Path, Part: r.Part, Reason: "its engine's configuration may still name it"}
		case r.Part == part.Runtime && next.HasEngine():
			a = Action{Verb: Unchanged, Path: r.Path, Part: r.Part, Reason: "another engine's configuration names it"}
		case a.Verb != Leave:
			next.Forget(r.Path)
		}
		actions = append(actions, a)
	}
	next.DropChoices()
	if next.Equal(m) {
		return actions, nil
	}
	if removesUnit(actions) && len(v.Enabled) > 0 {
		return nil, Refused{[]string{"the service is enabled (" + strings.Join(v.Enabled, ", ") +
			"): stop it first with `systemctl disable --now mcpnet`"}}
	}
	return withoutTraces(actions, v, next), nil
}

func removesUnit(actions []Action) bool {
	return slices.ContainsFunc(actions, func(a Action) bool { return a.Path == part.UnitPath && a.Verb == Remove })
}

// retireEdits takes mcpnet's parts out of others' configurations. Where one is stuck, the engine still needs its files.
func retireEdits(
	parts []part.Part, v View, m manifest.Manifest, next *manifest.Manifest, editors map[part.Part]Editor,
) (actions []Action, stuck map[part.Part]bool) {
	stuck = map[part.Part]bool{}
	for _, e := range m.Edits {
		if !slices.Contains(parts, e.Part) {
			continue
		}
		a := retireEdit(e, v.Files[e.Path], editors[e.Part])
		if stuck[e.Part] = a.Verb == Leave; !stuck[e.Part] {
			next.ForgetEdit(e.Path)
		}
		actions = append(actions, a)
	}
	return actions, stuck
}

// retire decides on one installed file.
func retire(r manifest.Record, s Seen) Action {
	a := Action{Verb: Remove, Path: r.Path, Part: r.Part}
	switch {
	case !s.There:
		a.Verb, a.Reason = Forget, "it is gone already"
	case s.SHA256 != r.SHA256:
		a.Verb, a.Reason = Leave, "it was changed since mcpnet installed it; remove it yourself if nothing needs it"
	}
	if _, is := part.EngineOf(r.Part); is && a.Verb == Remove {
		a.Diff = diffRemoved(r.Path, s)
	}
	return a
}

// withoutTraces brings the manifest up to date, or removes an empty one, and removes the directories that are then
// empty.
func withoutTraces(actions []Action, v View, next manifest.Manifest) []Action {
	gone := map[string]bool{manifest.Path: next.Empty()}
	for _, a := range actions {
		gone[a.Path] = a.Verb == Remove || (a.Verb == Forget && !v.Files[a.Path].There)
	}
	var emptied []Action
	made := next.SortedDirectories()
	for _, dir := range slices.Backward(made) { // children before their parents
		inUse := func(path string) bool { return !gone[path] }
		if entries, there := v.Entries[dir]; there && slices.ContainsFunc(entries, inUse) {
			continue
		} else if there {
			emptied = append(emptied, Action{Verb: RemoveDirectory, Path: dir})
		}
		gone[dir] = true
	}
	next.Directories = slices.DeleteFunc(made, func(dir string) bool { return gone[dir] })
	last := Action{Verb: Record, Path: manifest.Path, Mode: 0o600, Content: next.Text()}
	if next.Empty() {
		last = Action{Verb: Remove, Path: manifest.Path, Reason: "nothing is left to record"}
	}
	return append(append(actions, last), emptied...)
}
