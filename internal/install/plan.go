package install

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// This file decides and has no effects: what should be and what was seen go in, actions come out.

// file is what should be at a place of the host.
type file struct {
	part    Part
	path    string
	mode    Mode
	source  string
	content []byte
	// inPlace says that the source is this very file: `make install` put it there, so uninstalling is not to remove it.
	inPlace bool
}

// view is what is on the host, of everything that a plan asks about.
type view struct {
	files map[string]seen
	// missing are directories that are needed and not there, with their parents.
	missing map[string]bool
	// entries are the paths in each directory that is there.
	entries map[string][]string
	// enabled are the links that start the service with the host.
	enabled []string
}

// seen is what is at a path; its zero value is nothing.
type seen struct {
	there  bool
	what   string // other than a regular file: "a directory", "a symbolic link"
	sha256 string
	mode   Mode
	text   []byte
}

// wants is everything that should be on the host.
type wants struct {
	files   []file
	changes []change
	// options are the engines', with those that hold from before.
	options map[Part]options
}

// paths are all that a plan has to look at.
func (w wants) paths() []string {
	var paths []string
	for _, f := range w.files {
		paths = append(paths, f.path)
	}
	for _, c := range w.changes {
		paths = append(paths, c.path)
	}
	return paths
}

// Refused are the reasons why nothing was done.
type Refused struct{ Reasons []string }

func (r Refused) Error() string { return strings.Join(r.Reasons, "; ") + "; nothing was changed" }

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}

// planInstall makes files what they should be: directories first, what others' configuration names before that is edited, the
// manifest last. A process that dies in between leaves whole files, which the next run recognises by their content.
func planInstall(w wants, v view, m manifest, force bool) ([]Action, error) {
	next := m.clone()
	var actions []Action
	var refused []string
	for _, f := range w.files {
		recorded, known := m.find(f.path)
		a, problem := settle(f, v.files[f.path], recorded, known, force)
		if problem != "" {
			refused = append(refused, f.path+" "+problem)
			continue
		}
		if f.inPlace {
			a.Reason = "it is where it comes from; uninstalling leaves it"
			next.forget(f.path)
		} else {
			next.put(record{f.path, f.part, f.mode, a.SHA256})
		}
		if _, is := engineOf(f.part); is && (a.Verb == Write || a.Verb == Replace) {
			a.Diff = diff(f.path, v.files[f.path].there, string(v.files[f.path].text), true, string(f.content))
		}
		actions = append(actions, a)
	}
	for _, c := range w.changes {
		a, e, problem := settleChange(c, v.files[c.path], m)
		if problem != "" {
			refused = append(refused, c.path+" "+problem)
			continue
		}
		next.putEdit(e)
		actions = append(actions, a)
	}
	next.choose(w.options)
	if len(refused) > 0 {
		return nil, Refused{refused}
	}
	return withDirectories(actions, v, m, next), nil
}

// settle decides on one file. A problem is the reason why it must not be written.
func settle(f file, s seen, recorded record, known, force bool) (a Action, problem string) {
	a = Action{Verb: Replace, Path: f.path, Part: f.part, Mode: f.mode, SHA256: sum(f.content), Source: f.source, content: f.content}
	switch {
	case !s.there:
		a.Verb = Write
	case s.what == "a directory":
		return a, "is a directory: move it away"
	case s.sha256 == a.SHA256 && s.mode == f.mode:
		a.Verb = Unchanged
	case s.sha256 == a.SHA256:
		a.Reason = "its mode was " + s.mode.String()
	case known && s.sha256 == recorded.SHA256:
		a.Reason = "another version of mcpnet's"
	case force:
		a.Reason = "--force"
	case known:
		return a, "was changed since mcpnet installed it: keep it, or overwrite it with --force"
	case s.what != "":
		return a, "is " + s.what + " that mcpnet did not make: move it away, or replace it with --force"
	default:
		return a, fmt.Sprintf("is not mcpnet's (sha256 %.12s…): move it away, or overwrite it with --force", s.sha256)
	}
	return a, ""
}

// withDirectories puts what is missing before the actions that need it, and the manifest after them.
func withDirectories(actions []Action, v view, m, next manifest) []Action {
	missing := v.missingFor(actions...)
	next.Directories = append(next.Directories, missing...)
	if !next.equal(m) {
		for _, dir := range v.missingFor(Action{Path: manifestPath}) {
			if !slices.Contains(missing, dir) {
				missing = append(missing, dir)
				next.Directories = append(next.Directories, dir)
			}
		}
		actions = append(actions, Action{Verb: Record, Path: manifestPath, Mode: 0o600, content: next.text()})
	}
	slices.Sort(missing)
	var made []Action
	for _, dir := range missing {
		made = append(made, Action{Verb: MakeDirectory, Path: dir, Mode: directoryMode(dir)})
	}
	return append(made, actions...)
}

// missingFor lists the directories above what actions write that are not there.
func (v view) missingFor(actions ...Action) []string {
	var missing []string
	for _, a := range actions {
		for dir := filepath.Dir(a.Path); v.missing[dir] && !slices.Contains(missing, dir); dir = filepath.Dir(dir) {
			missing = append(missing, dir)
		}
	}
	return missing
}

// directoryMode gives the stores' directory the mode that the stores give it.
func directoryMode(dir string) Mode {
	if dir == filepath.Dir(manifestPath) {
		return 0o700
	}
	return 0o755
}

// planUninstall removes what was installed and is still as it was, and the directories that this empties. What names a file
// goes before the file does.
func planUninstall(parts []Part, v view, m manifest) ([]Action, error) {
	next := m.clone()
	actions, stuck := retireEdits(parts, v, m, &next)
	for _, r := range m.programsLast() {
		if !slices.Contains(parts, r.Part) {
			continue
		}
		a := retire(r, v.files[r.Path])
		switch {
		case stuck[r.Part]:
			a = Action{Verb: Leave, Path: r.Path, Part: r.Part, Reason: "its engine's configuration may still name it"}
		case r.Part == Runtime && next.hasEngine():
			a = Action{Verb: Unchanged, Path: r.Path, Part: r.Part, Reason: "another engine's configuration names it"}
		case a.Verb != Leave:
			next.forget(r.Path)
		}
		actions = append(actions, a)
	}
	next.dropChoices()
	if next.equal(m) {
		return actions, nil
	}
	unitGoes := slices.ContainsFunc(actions, func(a Action) bool { return a.Path == unitPath && a.Verb == Remove })
	if unitGoes && len(v.enabled) > 0 {
		return nil, Refused{[]string{"the service is enabled (" + strings.Join(v.enabled, ", ") +
			"): stop it first with `systemctl disable --now mcpnet`"}}
	}
	return leaveNoTrace(actions, v, next), nil
}

// retireEdits takes mcpnet's parts out of others' configurations. Where one stays, the engine's files are still needed.
func retireEdits(parts []Part, v view, m manifest, next *manifest) (actions []Action, stuck map[Part]bool) {
	stuck = map[Part]bool{}
	for _, e := range m.Edits {
		if !slices.Contains(parts, e.Part) {
			continue
		}
		a := retireEdit(e, v.files[e.Path], editors[e.Part])
		if stuck[e.Part] = a.Verb == Leave; !stuck[e.Part] {
			next.forgetEdit(e.Path)
		}
		actions = append(actions, a)
	}
	return actions, stuck
}

// retire decides on one installed file.
func retire(r record, s seen) Action {
	a := Action{Verb: Remove, Path: r.Path, Part: r.Part}
	switch {
	case !s.there:
		a.Verb, a.Reason = Forget, "it is gone already"
	case s.sha256 != r.SHA256:
		a.Verb, a.Reason = Leave, "it was changed since mcpnet installed it; remove it yourself if nothing needs it"
	}
	if _, is := engineOf(r.Part); is && a.Verb == Remove {
		a.Diff = diff(r.Path, true, string(s.text), false, "")
	}
	return a
}

// leaveNoTrace brings the manifest up to date, or removes an empty one, and then the directories that are empty.
func leaveNoTrace(actions []Action, v view, next manifest) []Action {
	gone := map[string]bool{manifestPath: next.empty()}
	for _, a := range actions {
		gone[a.Path] = a.Verb == Remove || (a.Verb == Forget && !v.files[a.Path].there)
	}
	var emptied []Action
	made := next.directories()
	for _, dir := range slices.Backward(made) { // what lies deeper comes first
		inUse := func(path string) bool { return !gone[path] }
		if entries, there := v.entries[dir]; there && slices.ContainsFunc(entries, inUse) {
			continue
		} else if there {
			emptied = append(emptied, Action{Verb: RemoveDirectory, Path: dir})
		}
		gone[dir] = true
	}
	next.Directories = slices.DeleteFunc(made, func(dir string) bool { return gone[dir] })
	manifest := Action{Verb: Record, Path: manifestPath, Mode: 0o600, content: next.text()}
	if next.empty() {
		manifest = Action{Verb: Remove, Path: manifestPath, Reason: "nothing is left to record"}
	}
	return append(append(actions, manifest), emptied...)
}
