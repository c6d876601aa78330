package action

import (
	"path/filepath"
	"slices"

	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// File is what should be at a place of the host.
type File struct {
	Part    part.Part
	Path    string
	Why     string // it is there, where that was found
	Mode    manifest.Mode
	Source  string
	Content []byte
	// InPlace says that the source is this very file. `make install` put it there, so that uninstalling must leave it.
	InPlace bool
}

// Wants is everything that should be on the host.
type Wants struct {
	Files   []File
	Changes []Change
	// Refused are the reasons that are known already why nothing must be done.
	Refused []string
	// Options are the engines', together with those that hold from before.
	Options map[part.Part]part.Options
}

// Add wants the files and changes of another one, too.
func (w *Wants) Add(other Wants) {
	w.Files = append(w.Files, other.Files...)
	w.Changes = append(w.Changes, other.Changes...)
	w.Refused = append(w.Refused, other.Refused...)
}

// Refuse adds the reason why a file is in the way.
func (w *Wants) Refuse(path string, why error) { w.Refused = append(w.Refused, path+" "+why.Error()) }

// Paths are all places that a plan has to look at.
func (w Wants) Paths() []string {
	var paths []string
	for _, f := range w.Files {
		paths = append(paths, f.Path)
	}
	for _, c := range w.Changes {
		paths = append(paths, c.Path)
	}
	return paths
}

// View is what is on the host, of everything that a plan asks about.
type View struct {
	Files map[string]Seen
	// Missing are the directories that are needed and not there, with their parents.
	Missing map[string]bool
	// Entries are the paths in each directory that is there.
	Entries map[string][]string
	// Enabled are the links that start the service with the host.
	Enabled []string
}

// Seen is what is at a path. Its zero value is nothing.
type Seen struct {
	There  bool
	What   string // other than a regular file: "a directory", "a symbolic link"
	SHA256 string
	Mode   manifest.Mode
	Text   []byte
}

// missingFor lists the directories that are not there above what actions write.
func (v View) missingFor(actions ...Action) []string {
	var missing []string
	for _, a := range actions {
		for dir := filepath.Dir(a.Path); v.Missing[dir] && !slices.Contains(missing, dir); dir = filepath.Dir(dir) {
			missing = append(missing, dir)
		}
	}
	return missing
}
