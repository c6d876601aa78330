package action

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// ForInstall makes files what they should be. Directories come first, files before the configuration that names them,
// and the manifest last. A process that dies in between leaves whole files, which the next run recognises by their
// content.
func ForInstall(w Wants, v View, m manifest.Manifest, force bool) ([]Action, error) {
	next := m.Clone()
	actions, refused := settleFiles(w.Files, v, m, &next, force)
	for _, c := range w.Changes {
		a, e, problem := c.settle(v.Files[c.Path], m)
		if problem != "" {
			refused = append(refused, c.Path+" "+problem)
			continue
		}
		next.PutEdit(e)
		actions = append(actions, a)
	}
	next.Choose(w.Options)
	if refused = append(refused, w.Refused...); len(refused) > 0 {
		return nil, Refused{refused}
	}
	return withDirectories(actions, v, m, next), nil
}

func settleFiles(files []File, v View, m manifest.Manifest, next *manifest.Manifest, force bool) (
	actions []Action, refused []string,
) {
	for _, f := range files {
		recorded, known := m.Find(f.Path)
		a, problem := f.settle(v.Files[f.Path], recorded, known, force)
		if problem != "" {
			refused = append(refused, f.Path+" "+problem)
			continue
		}
		if f.InPlace {
			a.Reason = "it is where it comes from; uninstalling leaves it"
			next.Forget(f.Path)
		} else {
			next.Put(manifest.Record{Path: f.Path, Part: f.Part, Mode: f.Mode, SHA256: a.SHA256})
		}
		if _, is := part.EngineOf(f.Part); is && (a.Verb == Write || a.Verb == Replace) {
			a.Diff = diff(f.Path, v.Files[f.Path], string(f.Content))
		}
		actions = append(actions, a)
	}
	return actions, refused
}

// settle decides on one file. A problem is the reason why it must not be written.
func (f File) settle(s Seen, recorded manifest.Record, known, force bool) (a Action, problem string) {
	a = Action{Verb: Replace, Path: f.Path, Why: f.Why, Part: f.Part, Mode: f.Mode, Source: f.Source,
		SHA256: Sum(f.Content), Content: f.Content}
	switch {
	case !s.There:
		a.Verb = Write
	case s.What == "a directory":
		return a, "is a directory: move it away"
	case s.SHA256 == a.SHA256 && s.Mode == f.Mode:
		a.Verb = Unchanged
	case s.SHA256 == a.SHA256:
		a.Reason = "its mode was " + s.Mode.String()
	case known && s.SHA256 == recorded.SHA256:
		a.Reason = "another version of mcpnet's"
	case force:
		a.Reason = "--force"
	case known:
		return a, "was changed since mcpnet installed it: keep it, or overwrite it with --force"
	case s.What != "":
		return a, "is " + s.What + " that mcpnet did not make: move it away, or replace it with --force"
	default:
		return a, fmt.Sprintf("is not mcpnet's (sha256 %.12s…): move it away, or overwrite it with --force", s.SHA256)
	}
	return a, ""
}

// withDirectories puts missing directories before the actions that need them, and the manifest after them.
func withDirectories(actions []Action, v View, m, next manifest.Manifest) []Action {
	missing := v.missingFor(actions...)
	next.Directories = append(next.Directories, missing...)
	if !next.Equal(m) {
		for _, dir := range v.missingFor(Action{Path: manifest.Path}) {
			if !slices.Contains(missing, dir) {
				missing = append(missing, dir)
				next.Directories = append(next.Directories, dir)
			}
		}
		actions = append(actions, Action{Verb: Record, Path: manifest.Path, Mode: 0o600, Content: next.Text()})
	}
	slices.Sort(missing)
	var made []Action
	for _, dir := range missing {
		made = append(made, Action{Verb: MakeDirectory, Path: dir, Mode: directoryMode(dir)})
	}
	return append(made, actions...)
}

// directoryMode gives the stores' directory the mode that the stores give it.
func directoryMode(dir string) manifest.Mode {
	if dir == filepath.Dir(manifest.Path) {
		return 0o700
	}
	return 0o755
}
