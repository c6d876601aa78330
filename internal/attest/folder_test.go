package attest_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/attest"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// nobody is a user that is not root.
const nobody = 65534

// TestUntrusted: what others than root may have written is no attestation, and nothing is written where they may.
func TestUntrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		testnet.Lacks(t, "root", "files of other users")
	}
	chmod := func(mode fs.FileMode) func(string) error {
		return func(path string) error { return os.Chmod(path, mode) }
	}
	chown := func(path string) error { return os.Chown(path, nobody, nobody) }
	elsewhere := func(path string) error {
		away := filepath.Join(filepath.Dir(filepath.Dir(path)), "away")
		return errors.Join(os.Rename(path, away), os.Symlink(away, path))
	}
	for name, tt := range map[string]struct {
		path      string // what is harmed
		harm      func(path string) error
		untrusted bool // it may be written by others, rather than being something else
	}{
		"all write the directory":   {".", chmod(0o777), true},
		"sticky directory":          {".", chmod(0o777 | fs.ModeSticky), true},
		"all write the folder":      {"attested", chmod(0o702), true},
		"a group writes the folder": {"attested", chmod(0o720), true},
		"the folder of a user":      {"attested", chown, true},
		"the directory of a user":   {".", chown, true},
		"all write the file":        {"attested/e.json", chmod(0o602), true},
		"a group writes the file":   {"attested/e.json", chmod(0o660), true},
		"the file of a user":        {"attested/e.json", chown, true},
		"a link to a file":          {"attested/e.json", elsewhere, false},
		"a link to a folder":        {"attested", elsewhere, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mcpnet")
			d := attest.In(dir)
			a := attest.Attestation{Network: "n", Endpoint: "e", Container: "c", Caps: policy.DefaultCaps}
			check(t, d.Attest(a))
			if got, ok, err := d.Attested("e"); got != a || !ok || err != nil {
				t.Fatalf("before: %+v %v %v", got, ok, err)
			}
			path := filepath.Join(dir, tt.path)
			check(t, tt.harm(path))
			got, ok, err := d.Attested("e")
			if ok || got != (attest.Attestation{}) || err == nil || errors.Is(err, attest.ErrUntrusted) != tt.untrusted {
				t.Errorf("%+v %v %v", got, ok, err)
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name %s: %v", path, err)
			}
			if err := d.Attest(a); (err == nil) != strings.HasSuffix(tt.path, ".json") {
				t.Errorf("attest again: %v", err)
			}
		})
	}
}

// TestModes: attestations are root's whatever the umask is.
func TestModes(t *testing.T) {
	defer unix.Umask(unix.Umask(0))
	dir := filepath.Join(t.TempDir(), "mcpnet")
	d := attest.In(dir)
	check(t, d.Attest(attest.Attestation{Endpoint: "e"}))
	check(t, d.Harden(attest.Hardened{Container: "c"}))
	check(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if want := map[bool]fs.FileMode{true: 0o700, false: 0o600}[entry.IsDir()]; err == nil && info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v", path, info.Mode(), want)
		}
		return err
	}))
}

// TestPipe: what is no file does not keep a reader waiting.
func TestPipe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mcpnet")
	d := attest.In(dir)
	check(t, d.Attest(attest.Attestation{Endpoint: "e"}))
	path := filepath.Join(dir, "attested", "e.json")
	check(t, os.Remove(path))
	check(t, unix.Mkfifo(path, 0o600))
	if _, ok, err := d.Attested("e"); ok || err == nil {
		t.Error(ok, err)
	}
}
