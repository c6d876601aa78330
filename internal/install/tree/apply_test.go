package tree

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/action"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file with its directories.
func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(content), mode))
	check(t, os.Chmod(path, mode))
}

// files is the mode and the content of everything below a directory.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content []byte
		switch {
		case d.Type() == fs.ModeSymlink:
			var target string
			target, err = os.Readlink(path)
			content = []byte(target)
		case d.Type().IsRegular():
			content, err = os.ReadFile(path)
		}
		all[path] = info.Mode().String() + " " + string(content)
		return err
	}))
	return all
}

// TestFailureTakesBack: when an action fails, those before it are taken back.
func TestFailureTakesBack(t *testing.T) {
	tr, err := Open(t.TempDir())
	check(t, err)
	write(t, tr.At("/dir/old"), "old", 0o640)
	write(t, tr.At("/dir/removed"), "removed", 0o700)
	check(t, os.Symlink("old", tr.At("/dir/link")))
	check(t, os.Mkdir(tr.At("/empty"), 0o711))
	before := files(t, tr.Root())
	err = tr.Apply([]action.Action{
		{Verb: action.MakeDirectory, Path: "/new", Mode: 0o755},
		{Verb: action.Write, Path: "/new/file", Mode: 0o755, Content: []byte("x")},
		{Verb: action.Replace, Path: "/dir/old", Mode: 0o755, Content: []byte("x")},
		{Verb: action.Replace, Path: "/dir/link", Mode: 0o755, Content: []byte("x")},
		{Verb: action.Remove, Path: "/dir/removed"},
		{Verb: action.RemoveDirectory, Path: "/empty"},
		{Verb: action.Write, Path: "/none/file", Mode: 0o755, Content: []byte("x")},
	})
	if err == nil || !strings.Contains(err.Error(), tr.At("/none/file")+": no such file or directory; nothing was changed") {
		t.Errorf("%v", err)
	}
	if after := files(t, tr.Root()); !maps.Equal(after, before) {
		t.Errorf("taken back:\ngot  %v\nwant %v", after, before)
	}
}
