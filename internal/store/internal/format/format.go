// Package format upgrades the directory of a store.
//
// A directory has a format, which is the schema of its documents. The documents of each format have a directory of
// their own. An upgrade leaves a file in place of the older directory: an older mcpnet cannot make its directory
// then, and stops, where it would otherwise take all that lives for left over.
package format

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Dir is the directory of a store.
type Dir string

// Documents is where the documents of this mcpnet's format are.
func (d Dir) Documents() string { return d.at(Schema) }

// at is where the documents of a format are.
func (d Dir) at(format int) string {
	if format == 1 {
		return filepath.Join(string(d), "networks")
	}
	return filepath.Join(string(d), fmt.Sprintf("v%d", format))
}

// aside is where the documents of a format are while they are upgraded.
func (d Dir) aside(format int) string { return d.at(format) + ".old" }

func (d Dir) formatPath() string { return filepath.Join(string(d), "format") }

// format is the directory's format, or 0 where none is recorded: format 1 recorded none. A newer one is an error.
func (d Dir) format() (int, error) {
	text, err := os.ReadFile(d.formatPath())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("store: %w", err)
	}
	format, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || format < 1 {
		return 0, fmt.Errorf("store: %s: %q is not a format; write there the highest N of the directories vN beside it",
			d.formatPath(), text)
	}
	if format > Schema {
		return 0, fmt.Errorf("store %s: format %d, this mcpnet reads up to %d: %w; use that one or a newer one",
			string(d), format, Schema, ErrNewer)
	}
	return format, nil
}

// source finds the documents that count, and their format; 0 says that there are none yet.
func (d Dir) source() (docs string, format int, err error) {
	format, err = d.format()
	if err != nil || format == Schema {
		return d.at(Schema), format, err
	}
	older := max(format, 1)
	for _, docs := range []string{d.aside(older), d.at(older)} {
		if isDir(docs) {
			return docs, older, nil
		}
	}
	return d.at(Schema), 0, nil
}

// Read calls f with where the documents are. If an upgrade moves them meanwhile, it calls f once more.
func (d Dir) Read(f func(docs string) error) error {
	for {
		docs, _, err := d.source()
		if err != nil {
			return err
		}
		err = f(docs)
		now, _, failed := d.source()
		if failed != nil {
			return failed
		}
		if now == docs {
			return err
		}
	}
}

// Check fails where a newer mcpnet has upgraded the directory.
func (d Dir) Check() error {
	_, err := d.format()
	return err
}

func (d Dir) identityPath() string { return filepath.Join(string(d), "identity") }

// Identity tells this store from every other: eight hexadecimal digits that never change. A directory that nobody has
// upgraded has none, which is an fs.ErrNotExist.
func (d Dir) Identity() (string, error) {
	text, err := os.ReadFile(d.identityPath())
	if err != nil {
		return "", fmt.Errorf("store: identity: %w", err)
	}
	id := strings.TrimSuffix(string(text), "\n")
	if len(id) != identityDigits || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("store: %s: %q is not %d hexadecimal digits; restore the file, or remove it to get a new one",
			d.identityPath(), id, identityDigits)
	}
	return id, nil
}

const identityDigits = 8

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}
