package format

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/atomicfile"
)

// An upgrade works under the lock, alone. From one format to the next it takes these steps, and a process can be killed
// between any two: the next one that opens the directory begins again or goes on.
//
//  1. Write the documents anew, beside the old ones. They do not count yet.
//  2. Exchange the directory of the old ones for a file. The old ones count, under another name.
//  3. Record the format. The new ones count.
//  4. Remove the old ones.

// onStep is called after every change to the directory: a test ends the process there.
var onStep = func() {}

// Ready reports whether there is nothing to upgrade. It needs no lock.
func (d Dir) Ready() (bool, error) {
	format, err := d.format()
	if err != nil || format != Schema {
		return false, err
	}
	if _, err := d.Identity(); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	done := isDir(d.at(Schema))
	for older := 1; older < Schema; older++ {
		done = done && isFile(d.at(older)) && !isDir(d.aside(older))
	}
	return done, nil
}

// Upgrade makes what is missing in the directory. The caller holds the store alone.
func (d Dir) Upgrade() error {
	if done, err := d.Ready(); done || err != nil {
		return err
	}
	_, format, err := d.source()
	if err != nil {
		return err
	}
	for ; format > 0 && format < Schema; format++ {
		if err := d.move(format); err != nil {
			return fmt.Errorf("store %s: upgrade from format %d to %d: %w", string(d), format, format+1, err)
		}
	}
	return d.complete()
}

// complete makes what a directory of this format holds, and removes what an upgrade left.
func (d Dir) complete() error {
	if err := os.MkdirAll(d.at(Schema), 0o700); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := d.identify(); err != nil {
		return err
	}
	for older := 1; older < Schema; older++ {
		if err := d.bar(older); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		if err := os.RemoveAll(d.aside(older)); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	if format, err := d.format(); err != nil || format == Schema {
		return err
	}
	return d.record(Schema)
}

// identify gives the store its identity.
func (d Dir) identify() error {
	if _, err := d.Identity(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	id := make([]byte, identityDigits/2)
	rand.Read(id) // never fails
	return write(d.identityPath(), []byte(hex.EncodeToString(id)+"\n"), 0o600)
}

// move upgrades the documents of a format to the next one.
func (d Dir) move(format int) error {
	docs, _, err := d.source()
	if err != nil {
		return err
	}
	if err := d.stage(docs, format+1); err != nil {
		return err
	}
	if docs == d.at(format) {
		if err := d.exchange(format); err != nil {
			return err
		}
	}
	if err := d.bar(format); err != nil {
		return err
	}
	if err := d.record(format + 1); err != nil {
		return err
	}
	return os.RemoveAll(d.aside(format))
}

// stage writes documents in another format, beside the old ones.
func (d Dir) stage(docs string, format int) error {
	to := d.at(format)
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	err := filepath.WalkDir(docs, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		defer onStep()
		rel, err := filepath.Rel(docs, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.Mkdir(filepath.Join(to, rel), 0o700)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		return copyFile(path, filepath.Join(to, rel), format)
	})
	if err != nil {
		return err
	}
	return syncAll(string(d))
}

// copyFile copies a file, and converts it if it is a document. A document that cannot be read stays as it is: whoever
// loads it reports it.
func copyFile(from, to string, format int) error {
	k, isDocument := kindOf(from)
	if !isDocument && passing(filepath.Base(from)) {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if isDocument {
		if converted, err := convert(k, data, format); err == nil {
			data = converted
		}
	}
	return os.WriteFile(to, data, 0o600)
}

// passing tells files that mean nothing without the process that made them.
func passing(name string) bool {
	return atomicfile.IsTemporary(name) || strings.HasPrefix(name, "attaching") || filepath.Ext(name) == ".new"
}

// renameat2 is replaced by tests: not every file system can exchange.
var renameat2 = unix.Renameat2

// exchange puts a file in the place of the documents of a format, and the documents aside. Where the file system can
// do that in one step, there is no moment at which an older mcpnet could make the directory anew.
func (d Dir) exchange(format int) error {
	docs, aside := d.at(format), d.aside(format)
	if err := write(aside, notice(), 0o644); err != nil {
		return err
	}
	err := renameat2(unix.AT_FDCWD, docs, unix.AT_FDCWD, aside, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = errors.Join(os.Remove(aside), os.Rename(docs, aside))
	}
	if err != nil {
		return fmt.Errorf("move %s: %w", docs, err)
	}
	onStep()
	return atomicfile.SyncDir(string(d))
}

// bar sees to it that a file stands in the place of the documents of an older format.
func (d Dir) bar(format int) error {
	path := d.at(format)
	if isFile(path) {
		return nil
	}
	// An older mcpnet may have made an empty directory. One that is not empty holds networks, which may be alive.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("an older mcpnet was used after the upgrade to %s: remove its containers and then %s: %w",
			d.at(Schema), path, err)
	}
	return write(path, notice(), 0o644)
}

// notice is what a person reads who looks why an older mcpnet stops at the file.
func notice() []byte {
	return fmt.Appendf(nil, `A newer mcpnet keeps its networks in v%d/, beside this file (store format %d).
This file makes every older mcpnet stop: it would take those networks for left over and remove them.
Needed is an mcpnet that reads format %d, which is any version after commit 82bb395.
`, Schema, Schema, Schema)
}

// record writes the directory's format.
func (d Dir) record(format int) error { return write(d.formatPath(), fmt.Appendln(nil, format), 0o600) }

func write(path string, data []byte, perm fs.FileMode) error {
	defer onStep()
	return atomicfile.WriteDurable(path, data, perm)
}

// syncAll waits until everything on a directory's file system is on disk. It is faster than to wait for each document.
func syncAll(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
