package format

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// schema1 holds documents that commit 82bb395 wrote; TestTestdata of the store compares them.
const schema1 = "../../testdata/schema1"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// old copies the directory of an older mcpnet.
func old(t *testing.T) Dir {
	t.Helper()
	dir := t.TempDir()
	check(t, os.CopyFS(dir, os.DirFS(schema1)))
	return Dir(dir)
}

// tree gives every file of a directory with its text.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		text, err := os.ReadFile(path)
		found[rel] = string(text)
		return err
	}))
	return found
}

// upgraded gives a directory's files after an upgrade, without its identity.
func upgraded(t *testing.T, d Dir) map[string]string {
	t.Helper()
	check(t, d.Upgrade())
	if done, err := d.Ready(); !done || err != nil {
		t.Errorf("after an upgrade: ready %v, %v", done, err)
	}
	_, err := d.Identity()
	check(t, err)
	files := tree(t, string(d))
	delete(files, "identity")
	return files
}

// documentsOf gives the documents that a reader gets, in this mcpnet's schema.
func documentsOf(t *testing.T, d Dir) (found map[string]string) {
	t.Helper()
	check(t, d.Read(func(docs string) error {
		found = map[string]string{}
		if !isDir(docs) {
			return nil
		}
		found = tree(t, docs)
		maps.DeleteFunc(found, func(path, _ string) bool { return filepath.Ext(path) != extension })
		for path, text := range found {
			k, ok := kindOf(path)
			if !ok {
				t.Errorf("%s is of no kind", path)
			}
			if converted, err := Convert(k, []byte(text)); err == nil {
				found[path] = string(converted)
			}
		}
		return nil
	}))
	return found
}

func TestUpgrade(t *testing.T) {
	d := old(t)
	before := documentsOf(t, d)
	if len(before) != 8 {
		t.Fatalf("%d documents: %v", len(before), before)
	}
	files := upgraded(t, d)
	if diff := cmp.Diff(before, documentsOf(t, d)); diff != "" {
		t.Error(diff)
	}
	for path := range files {
		if strings.HasPrefix(path, "networks/") || strings.Contains(path, "attaching") || strings.HasSuffix(path, ".new") {
			t.Errorf("%s is left", path)
		}
	}
	for path, want := range map[string]string{
		"format": "2\n", "fact-features": "boot reset=true", "v2/pods/addresses/10.1.0.7": "pod-eth0",
		"v2/broken/network.json": tree(t, schema1)["networks/broken/network.json"],
	} {
		if files[path] != want {
			t.Errorf("%s: %q, want %q", path, files[path], want)
		}
	}
	if !strings.Contains(files["networks"], "Needed is an mcpnet that reads format 2") {
		t.Errorf("networks says: %s", files["networks"])
	}
}

// killed are the variables by which the test tells the process that it starts where to die.
const killedDir, killedStep, killedHow = "MCPNET_TEST_DIR", "MCPNET_TEST_STEP", "MCPNET_TEST_HOW"

// ways are file systems that can exchange a directory and a file, and others.
var ways = map[string]func(int, string, int, string, uint) error{
	"exchange": unix.Renameat2,
	"rename":   func(int, string, int, string, uint) error { return unix.EINVAL },
}

// TestKilled kills an upgrade, and the making of a new directory, after every step. Readers then see every document, an
// older mcpnet sees all or is stopped, and the next opening finishes.
func TestKilled(t *testing.T) {
	if os.Getenv(killedDir) != "" {
		upgradeUntilKilled(t)
		return
	}
	for how := range ways {
		for name, from := range map[string]func(*testing.T) Dir{
			"upgrade": old, "new": func(t *testing.T) Dir { return Dir(t.TempDir()) },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				whole := upgraded(t, from(t))
				steps := 0
				for d := from(t); kill(t, d, how, steps+1); d = from(t) {
					steps++
					checkKilled(t, d, steps, documentsOf(t, from(t)), whole)
				}
				if steps < 3 {
					t.Errorf("only %d steps", steps)
				}
			})
		}
	}
}

func checkKilled(t *testing.T, d Dir, step int, documents, whole map[string]string) {
	t.Helper()
	if diff := cmp.Diff(documents, documentsOf(t, d)); diff != "" {
		t.Errorf("killed after step %d: readers see %s", step, diff)
	}
	if seen := d.at(1); isDir(seen) && !cmp.Equal(tree(t, seen), tree(t, filepath.Join(schema1, "networks"))) {
		t.Errorf("killed after step %d: an older mcpnet sees %v", step, tree(t, seen))
	}
	if diff := cmp.Diff(whole, upgraded(t, d)); diff != "" {
		t.Errorf("killed after step %d, and upgraded: %s", step, diff)
	}
}

// kill upgrades in a process that is killed after a step. It reports false if there are fewer steps.
func kill(t *testing.T, d Dir, how string, step int) bool {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
	c.Env = append(os.Environ(), killedDir+"="+string(d), killedStep+"="+strconv.Itoa(step), killedHow+"="+how)
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL) {
		t.Fatalf("step %d: %v: %s", step, err, out)
	}
	return err != nil
}

func upgradeUntilKilled(t *testing.T) {
	last, err := strconv.Atoi(os.Getenv(killedStep))
	check(t, err)
	renameat2 = ways[os.Getenv(killedHow)]
	onStep = func() {
		if last--; last == 0 {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		}
	}
	check(t, Dir(os.Getenv(killedDir)).Upgrade())
}

// TestOlderMeanwhile: an older mcpnet that makes its directory again, while it is not barred, is found out.
func TestOlderMeanwhile(t *testing.T) {
	d := old(t)
	check(t, d.Upgrade())
	check(t, os.Remove(d.at(1)))
	check(t, os.Mkdir(d.at(1), 0o700))
	check(t, d.Upgrade())
	if !isFile(d.at(1)) {
		t.Error("an empty directory is left")
	}
	check(t, os.Remove(d.at(1)))
	check(t, os.MkdirAll(filepath.Join(d.at(1), "n"), 0o700))
	if err := d.Upgrade(); err == nil || !strings.Contains(err.Error(), d.at(1)) {
		t.Errorf("networks of an older mcpnet: %v", err)
	}
}

func TestBadFormat(t *testing.T) {
	for text, newer := range map[string]bool{
		"3\n": true, "99": true, "": false, "0\n": false, "two\n": false, "-1": false,
	} {
		d := Dir(t.TempDir())
		check(t, d.Upgrade())
		check(t, os.WriteFile(d.formatPath(), []byte(text), 0o600))
		before := tree(t, string(d))
		for what, err := range map[string]error{
			"Upgrade": d.Upgrade(), "Check": d.Check(), "Read": d.Read(func(string) error { return nil }),
		} {
			if err == nil || errors.Is(err, ErrNewer) != newer || !strings.Contains(err.Error(), string(d)) {
				t.Errorf("%s with format %q: %v", what, text, err)
			}
		}
		if diff := cmp.Diff(before, tree(t, string(d))); diff != "" {
			t.Errorf("format %q: changed: %s", text, diff)
		}
	}
}

func TestIdentity(t *testing.T) {
	d, other := Dir(t.TempDir()), Dir(t.TempDir())
	if _, err := d.Identity(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there is one: %v", err)
	}
	check(t, errors.Join(d.Upgrade(), other.Upgrade()))
	first, err := d.Identity()
	check(t, err)
	check(t, d.Upgrade())
	again, err := d.Identity()
	check(t, err)
	if another, err := other.Identity(); first != again || first == another || err != nil {
		t.Errorf("identities %q, then %q; of another store %q, %v", first, again, another, err)
	}
	for _, text := range []string{"", "1234567", "123456789", "1234567G", "1234567A", "../../.."} {
		check(t, os.WriteFile(d.identityPath(), []byte(text), 0o600))
		if id, err := d.Identity(); err == nil {
			t.Errorf("%q is an identity: %q", text, id)
		}
		if err := d.Upgrade(); err == nil || !strings.Contains(err.Error(), d.identityPath()) {
			t.Errorf("upgrade with identity %q: %v", text, err)
		}
	}
}
