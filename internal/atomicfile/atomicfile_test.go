package atomicfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
)

var writers = map[string]func(string, []byte, fs.FileMode) error{
	"Write": atomicfile.Write, "WriteDurable": atomicfile.WriteDurable,
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files lists a directory.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWrite(t *testing.T) {
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			for _, text := range []string{"first", "", "a longer second"} {
				check(t, write(path, []byte(text), 0o600))
				if got, err := os.ReadFile(path); err != nil || string(got) != text {
					t.Errorf("got %q, %v; want %q", got, err, text)
				}
			}
			if left := files(t, filepath.Dir(path)); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestPermissions uses a umask that forbids everything, then one that forbids nothing.
func TestPermissions(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	for name, write := range writers {
		for _, umask := range []int{0o777, 0} {
			for _, perm := range []fs.FileMode{0o600, 0o644, 0o400, 0o755} {
				unix.Umask(0)
				path := filepath.Join(t.TempDir(), "file")
				check(t, os.WriteFile(path, nil, 0o666))
				unix.Umask(umask)
				check(t, write(path, nil, perm))
				info, err := os.Stat(path)
				check(t, err)
				if info.Mode() != perm {
					t.Errorf("%s with umask %o: mode %v, want %v", name, umask, info.Mode(), perm)
				}
			}
		}
	}
}

// TestConcurrent has many writers of one file and a reader that must never see a mixture.
func TestConcurrent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	check(t, atomicfile.Write(path, bytes.Repeat([]byte{'0'}, 5000), 0o600))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				if err := atomicfile.Write(path, bytes.Repeat([]byte{byte('0' + i)}, 5000), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 500 {
		got, err := os.ReadFile(path)
		check(t, err)
		if len(got) != 5000 || bytes.Count(got, got[:1]) != len(got) {
			t.Fatalf("read %d bytes that are not of one writer", len(got))
		}
		for _, name := range files(t, filepath.Dir(path)) {
			if name != "file" && !atomicfile.IsTemporary(name) {
				t.Fatalf("%s is taken for a file", name)
			}
		}
	}
	group.Wait()
	if left := files(t, filepath.Dir(path)); len(left) != 1 || atomicfile.IsTemporary(left[0]) {
		t.Errorf("left: %v", left)
	}
}

// TestErrors: an error names the file and leaves nothing.
func TestErrors(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "directory", "child"), 0o700))
	for name, write := range writers {
		for file, want := range map[string]error{"missing/file": fs.ErrNotExist, "directory": nil} {
			path := filepath.Join(dir, file)
			err := write(path, []byte("x"), 0o600)
			if err == nil || !strings.Contains(err.Error(), path) || (want != nil && !errors.Is(err, want)) {
				t.Errorf("%s(%s): %v", name, path, err)
			}
		}
	}
	if left := files(t, dir); fmt.Sprint(left) != "[directory]" {
		t.Errorf("left: %v", left)
	}
}
