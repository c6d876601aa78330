package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

// Look sees everything that a plan about these paths asks for.
func (t Tree) Look(paths []string, m manifest.Manifest) (action.View, error) {
	v := action.View{Files: map[string]action.Seen{}, Missing: map[string]bool{}, Entries: t.entries(m.Directories)}
	for _, path := range append(slices.Clone(paths), manifest.Path) {
		s, err := t.See(path)
		if err != nil {
			return v, err
		}
		v.Files[path] = s
		for dir := filepath.Dir(path); dir != "/" && !t.Exists(dir); dir = filepath.Dir(dir) {
			v.Missing[dir] = true
		}
	}
	for _, path := range part.EnabledPaths {
		if t.Exists(path) {
			v.Enabled = append(v.Enabled, path)
		}
	}
	return v, nil
}

// entries lists what is in directories. One that is gone, or is no directory any more, is left out.
func (t Tree) entries(dirs []string) map[string][]string {
	all := map[string][]string{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(t.At(dir))
		if err != nil {
			continue
		}
		all[dir] = []string{}
		for _, e := range entries {
			all[dir] = append(all[dir], filepath.Join(dir, e.Name()))
		}
	}
	return all
}

// See looks at one path.
func (t Tree) See(path string) (action.Seen, error) {
	if err := t.contain(path); err != nil {
		return action.Seen{}, err
	}
	s, err := t.see(path)
	return s, withRemedy(err)
}

func (t Tree) see(path string) (action.Seen, error) {
	info, err := os.Lstat(t.At(path))
	if errors.Is(err, fs.ErrNotExist) {
		return action.Seen{}, nil
	}
	if err != nil {
		return action.Seen{}, err
	}
	s := action.Seen{There: true, Mode: manifest.Mode(info.Mode().Perm())}
	switch {
	case info.IsDir():
		s.What = "a directory"
	case info.Mode()&fs.ModeSymlink != 0:
		s.What = "a symbolic link"
	case !info.Mode().IsRegular():
		s.What = "a special file"
	default:
		content, err := os.ReadFile(t.At(path))
		if err != nil {
			return s, err
		}
		s.SHA256, s.Text = action.Sum(content), content
	}
	return s, nil
}

// TextFile is a file that was read.
type TextFile struct {
	Path string
	Text []byte
}

// ReadMatching reads the files that a pattern matches, except one, in the order of their names.
func (t Tree) ReadMatching(pattern, except string) ([]TextFile, error) {
	found, err := filepath.Glob(t.At(pattern))
	if err != nil {
		return nil, err
	}
	var files []TextFile
	for _, path := range found {
		path = "/" + strings.TrimPrefix(strings.TrimPrefix(path, t.root), "/")
		if path == except {
			continue
		}
		if err := t.contain(path); err != nil {
			return nil, err
		}
		text, err := os.ReadFile(t.At(path))
		if err != nil {
			return nil, withRemedy(err)
		}
		files = append(files, TextFile{path, text})
	}
	return files, nil
}

// Real is a path without symbolic links on the way to it, where it is there.
func (t Tree) Real(path string) string {
	real, err := filepath.EvalSymlinks(t.At(path))
	if err != nil {
		return t.At(path)
	}
	return real
}
