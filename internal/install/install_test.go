package install

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
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

// request is one for an empty tree, with programs that are no programs.
func request(t *testing.T, parts ...Part) Request {
	t.Helper()
	binaries := t.TempDir()
	write(t, filepath.Join(binaries, cniProgram), "cni 1", 0o755)
	write(t, filepath.Join(binaries, pluginProgram), "plugin 1", 0o755)
	write(t, filepath.Join(binaries, runtimeProgram), "runtime 1", 0o755)
	return Request{Root: t.TempDir(), Parts: parts, Binary: binaries}
}

// tree is everything below a directory: a file's mode and content, a directory's mode, a link's target.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		switch {
		case d.Type() == fs.ModeSymlink:
			content, err = os.Readlink(path)
		case d.Type().IsRegular():
			var b []byte
			b, err = os.ReadFile(path)
			content = string(b)
		}
		all[strings.TrimPrefix(path, root)] = info.Mode().String() + " " + content
		return err
	}))
	return all
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, want)
	}
}

// verbsOf are the actions' verbs by path.
func verbsOf(r Result) map[string]Verb {
	out := map[string]Verb{}
	for _, a := range r.Actions {
		out[a.Path] = a.Verb
	}
	return out
}

func mustInstall(t *testing.T, r Request) Result {
	t.Helper()
	result, err := Install(r)
	check(t, err)
	return result
}

func TestThereAndBack(t *testing.T) {
	old := syscall.Umask(0o077) // modes are what they should be whatever the user's umask is
	defer syscall.Umask(old)
	r := request(t, Parts...)
	mustInstall(t, r)
	got := tree(t, r.Root)
	for path, want := range map[string]string{
		"/opt/cni/bin/mcpnet":                "-rwxr-xr-x cni 1",
		"/usr/local/libexec/netavark/mcpnet": "-rwxr-xr-x cni 1",
		servicePath:                          "-rwxr-xr-x plugin 1",
		unitPath:                             "-rw-r--r-- " + string(unit),
		"/opt/cni/bin":                       "drwxr-xr-x ",
		"/var/lib/mcpnet":                    "drwx------ ",
	} {
		if got[path] != want {
			t.Errorf("%s: %q, want %q", path, got[path], want)
		}
	}
	again := mustInstall(t, r)
	for path, verb := range verbsOf(again) {
		if verb != Unchanged {
			t.Errorf("once more: %s %s", verb, path)
		}
	}
	same(t, "once more", tree(t, r.Root), got)
	r.Parts = nil
	if _, err := Uninstall(r); err != nil {
		t.Fatal(err)
	}
	same(t, "uninstalled", tree(t, r.Root), map[string]string{})
}

// TestUninstallOnePart: the rest stays, and so does the record of it.
func TestUninstallOnePart(t *testing.T) {
	r := request(t, CNI, Service)
	mustInstall(t, r)
	r.Parts = []Part{CNI}
	_, err := Uninstall(r)
	check(t, err)
	left := tree(t, r.Root)
	for path, there := range map[string]bool{"/opt": false, servicePath: true, unitPath: true, manifestPath: true} {
		if _, got := left[path]; got != there {
			t.Errorf("%s is there: %v", path, got)
		}
	}
	r.Parts = nil
	_, err = Uninstall(r)
	check(t, err)
	same(t, "all", tree(t, r.Root), map[string]string{})
}

// TestNext: what remains to be done depends on what was done, and where.
func TestNext(t *testing.T) {
	plugin := []Action{{Verb: Write, Path: "/opt/cni/bin/mcpnet", Part: CNI}}
	service := append(plugin, Action{Verb: Write, Path: unitPath, Part: Service})
	removed := []Action{{Verb: Remove, Path: unitPath, Part: Service}}
	for want, got := range map[string][]string{
		"systemctl daemon-reload && systemctl enable --now mcpnet": installed("/", service),
		"systemctl --root=/mnt enable mcpnet":                      installed("/mnt", service),
		"systemctl daemon-reload":                                  uninstalled("/", removed),
	} {
		if !slices.Equal(got, []string{want}) {
			t.Errorf("%q, want %s", got, want)
		}
	}
	if got := append(installed("/", plugin), uninstalled("/mnt", removed)...); got != nil {
		t.Errorf("%q", got)
	}
}

func TestDryRun(t *testing.T) {
	r := request(t, Parts...)
	r.DryRun = true
	would := mustInstall(t, r)
	same(t, "dry run", tree(t, r.Root), map[string]string{})
	r.DryRun = false
	did := mustInstall(t, r)
	if !maps.Equal(verbsOf(would), verbsOf(did)) {
		t.Errorf("would: %v\ndid: %v", would, did)
	}
	before := tree(t, r.Root)
	r.DryRun = true
	_, err := Uninstall(r)
	check(t, err)
	same(t, "dry run of uninstalling", tree(t, r.Root), before)
}

func TestUpgrade(t *testing.T) {
	r := request(t, CNI, Service)
	mustInstall(t, r)
	write(t, filepath.Join(r.Binary, cniProgram), "cni 2", 0o755)
	write(t, filepath.Join(r.Binary, pluginProgram), "plugin 2", 0o755)
	check(t, os.Chmod(filepath.Join(r.Root, unitPath), 0o666))
	result := mustInstall(t, r)
	got := verbsOf(result)
	if got["/opt/cni/bin/mcpnet"] != Replace || got[servicePath] != Replace || got[unitPath] != Replace || got[manifestPath] != Record {
		t.Errorf("%v", result.Actions)
	}
	if next := installed("/", result.Actions); len(next) != 1 || !strings.Contains(next[0], "restart mcpnet") {
		t.Errorf("a running service has to be restarted: %q", next)
	}
	now := tree(t, r.Root)
	if now["/opt/cni/bin/mcpnet"] != "-rwxr-xr-x cni 2" || !strings.HasPrefix(now[unitPath], "-rw-r--r-- ") {
		t.Errorf("%v", now)
	}
	_, err := Uninstall(r)
	check(t, err)
	same(t, "uninstalled", tree(t, r.Root), map[string]string{})
}

// TestForeign: what is in the way is not overwritten, everything that is in the way is named, and nothing is half-done.
func TestForeign(t *testing.T) {
	r := request(t, Parts...)
	write(t, filepath.Join(r.Root, "opt/cni/bin/mcpnet"), "of somebody else", 0o755)
	write(t, filepath.Join(r.Root, "usr/lib/netavark/driver"), "", 0o755)
	check(t, os.Symlink("driver", filepath.Join(r.Root, "usr/lib/netavark/mcpnet")))
	check(t, os.MkdirAll(filepath.Join(r.Root, unitPath), 0o755))
	before := tree(t, r.Root)
	_, err := Install(r)
	var refused Refused
	if !errors.As(err, &refused) || len(refused.Reasons) != 3 {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"/opt/cni/bin/mcpnet is not mcpnet's", "/usr/lib/netavark/mcpnet is a symbolic link",
		unitPath + " is a directory", "--force"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q: %v", want, err)
		}
	}
	same(t, "refused", tree(t, r.Root), before)

	r.Force = true
	if _, err := Install(r); !errors.As(err, &refused) || len(refused.Reasons) != 1 {
		t.Fatalf("a directory is never replaced: %v", err)
	}
	check(t, os.Remove(filepath.Join(r.Root, unitPath)))
	mustInstall(t, r)
	now := tree(t, r.Root)
	for path, want := range map[string]string{"/opt/cni/bin/mcpnet": "cni 1", "/usr/lib/netavark/mcpnet": "cni 1", "/usr/lib/netavark/driver": ""} {
		if now[path] != "-rwxr-xr-x "+want {
			t.Errorf("%s: %q", path, now[path])
		}
	}
}

// TestChanged: a file that somebody changed is neither overwritten nor removed.
func TestChanged(t *testing.T) {
	r := request(t, Service)
	mustInstall(t, r)
	edited := filepath.Join(r.Root, unitPath)
	write(t, edited, "edited", 0o644)
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), unitPath+" was changed since mcpnet installed it") {
		t.Errorf("%v", err)
	}
	for range 2 {
		result, err := Uninstall(r)
		check(t, err)
		if result.Complete() || verbsOf(result)[unitPath] != Leave {
			t.Errorf("%v", result)
		}
		left := tree(t, r.Root)
		if _, there := left[servicePath]; there || left[unitPath] != "-rw-r--r-- edited" || left[manifestPath] == "" {
			t.Errorf("%v", left)
		}
	}
	check(t, os.Remove(edited))
	result, err := Uninstall(r)
	check(t, err)
	if !result.Complete() || verbsOf(result)[unitPath] != Forget {
		t.Errorf("%v", result)
	}
	same(t, "uninstalled", tree(t, r.Root), map[string]string{})
}

// TestOthersFilesStay: a directory that mcpnet made and that others use now stays.
func TestOthersFilesStay(t *testing.T) {
	r := request(t, CNI)
	mustInstall(t, r)
	write(t, filepath.Join(r.Root, "opt/cni/bin/bridge"), "", 0o755)
	write(t, filepath.Join(r.Root, "var/lib/mcpnet/cni/lock"), "", 0o600)
	result, err := Uninstall(r)
	check(t, err)
	if !result.Complete() {
		t.Errorf("%v", result)
	}
	paths := slices.Sorted(maps.Keys(tree(t, r.Root)))
	want := []string{"/opt", "/opt/cni", "/opt/cni/bin", "/opt/cni/bin/bridge",
		"/var", "/var/lib", "/var/lib/mcpnet", "/var/lib/mcpnet/cni", "/var/lib/mcpnet/cni/lock"}
	if !slices.Equal(paths, want) {
		t.Errorf("%v", paths)
	}
}

func TestPlaces(t *testing.T) {
	for name, c := range map[string]struct {
		there []string
		dir   string
		part  Part
		want  []string
	}{
		"nothing":                {nil, "", CNI, []string{"/opt/cni/bin/mcpnet"}},
		"no reference plugin":    {[]string{"/usr/lib/cni/other", "/usr/libexec/cni/other"}, "", CNI, []string{"/opt/cni/bin/mcpnet"}},
		"one":                    {[]string{"/usr/lib/cni/loopback"}, "", CNI, []string{"/usr/lib/cni/mcpnet"}},
		"two":                    {[]string{"/usr/lib/cni/bridge", "/opt/cni/bin/host-local"}, "", CNI, []string{"/opt/cni/bin/mcpnet", "/usr/lib/cni/mcpnet"}},
		"the user's":             {[]string{"/usr/lib/cni/bridge"}, "/srv/cni", CNI, []string{"/srv/cni/mcpnet"}},
		"no netavark":            {nil, "", Netavark, []string{"/usr/local/libexec/netavark/mcpnet"}},
		"first of netavark's":    {[]string{"/usr/lib/netavark/x", "/usr/libexec/netavark/x"}, "", Netavark, []string{"/usr/libexec/netavark/mcpnet"}},
		"the user's of netavark": {[]string{"/usr/lib/netavark/x"}, "/srv/netavark", Netavark, []string{"/srv/netavark/mcpnet"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, c.part)
			r.Dir = c.dir
			for _, path := range c.there {
				write(t, filepath.Join(r.Root, path), "", 0o755)
			}
			var got []string
			for _, a := range mustInstall(t, r).Actions {
				if a.Verb == Write {
					got = append(got, a.Path)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// TestPlacesByLink: a directory that is another one by a link gets no second copy.
func TestPlacesByLink(t *testing.T) {
	r := request(t, CNI)
	write(t, filepath.Join(r.Root, "usr/libexec/cni/bridge"), "", 0o755)
	check(t, os.MkdirAll(filepath.Join(r.Root, "usr/lib"), 0o755))
	check(t, os.Symlink("../libexec/cni", filepath.Join(r.Root, "usr/lib/cni")))
	if got := verbsOf(mustInstall(t, r)); got["/usr/libexec/cni/mcpnet"] != Write || got["/usr/lib/cni/mcpnet"] != "" {
		t.Errorf("%v", got)
	}
}

// TestOlderPlaceIsBroughtUpToDate: where plugins were installed before, no older version stays behind.
func TestOlderPlaceIsBroughtUpToDate(t *testing.T) {
	r := request(t, CNI)
	mustInstall(t, r)
	write(t, filepath.Join(r.Root, "usr/lib/cni/bridge"), "", 0o755)
	write(t, filepath.Join(r.Binary, cniProgram), "cni 2", 0o755)
	got := verbsOf(mustInstall(t, r))
	if got["/usr/lib/cni/mcpnet"] != Write || got["/opt/cni/bin/mcpnet"] != Replace {
		t.Errorf("%v", got)
	}
}

// TestInPlace: what `make install-host` put where the service wants it is not mcpnet's to remove.
func TestInPlace(t *testing.T) {
	r := request(t, Service)
	own := filepath.Join(r.Root, servicePath)
	write(t, own, "made", 0o755)
	r.Binary, r.Executable = "", filepath.Join(r.Root, "usr/local/bin/mcpnet")
	if got := verbsOf(mustInstall(t, r)); got[servicePath] != Unchanged || got[unitPath] != Write {
		t.Errorf("%v", got)
	}
	_, err := Uninstall(r)
	check(t, err)
	if left := tree(t, r.Root); left[servicePath] != "-rwxr-xr-x made" || left[unitPath] != "" {
		t.Errorf("%v", left)
	}
}

// TestAdoption: a file that is already what it should be is recorded, as after an installation that was killed.
func TestAdoption(t *testing.T) {
	r := request(t, CNI)
	mustInstall(t, r)
	check(t, os.Remove(filepath.Join(r.Root, manifestPath)))
	if got := verbsOf(mustInstall(t, r)); got["/opt/cni/bin/mcpnet"] != Unchanged || got[manifestPath] != Record {
		t.Errorf("%v", got)
	}
}

// TestEnabledServiceStays: systemd would keep a link to a unit that is gone.
func TestEnabledServiceStays(t *testing.T) {
	r := request(t, CNI, Service)
	mustInstall(t, r)
	check(t, os.MkdirAll(filepath.Join(r.Root, filepath.Dir(enabledPaths[0])), 0o755))
	check(t, os.Symlink(unitPath, filepath.Join(r.Root, enabledPaths[0])))
	before := tree(t, r.Root)
	var refused Refused
	if _, err := Uninstall(r); !errors.As(err, &refused) || !strings.Contains(err.Error(), "systemctl disable --now mcpnet") {
		t.Errorf("%v", err)
	}
	same(t, "refused", tree(t, r.Root), before)
	r.Parts = []Part{CNI}
	if _, err := Uninstall(r); err != nil {
		t.Errorf("of another part: %v", err)
	}
}

// TestFailureTakesBack: when an action fails, those before it are taken back.
func TestFailureTakesBack(t *testing.T) {
	h := host{t.TempDir()}
	write(t, h.at("/dir/old"), "old", 0o640)
	write(t, h.at("/dir/removed"), "removed", 0o700)
	check(t, os.Symlink("old", h.at("/dir/link")))
	check(t, os.Mkdir(h.at("/empty"), 0o711))
	before := tree(t, h.root)
	err := h.apply([]Action{
		{Verb: MakeDirectory, Path: "/new", Mode: 0o755},
		{Verb: Write, Path: "/new/file", Mode: 0o755, content: []byte("x")},
		{Verb: Replace, Path: "/dir/old", Mode: 0o755, content: []byte("x")},
		{Verb: Replace, Path: "/dir/link", Mode: 0o755, content: []byte("x")},
		{Verb: Remove, Path: "/dir/removed"},
		{Verb: RemoveDirectory, Path: "/empty"},
		{Verb: Write, Path: "/none/file", Mode: 0o755, content: []byte("x")},
	})
	if err == nil || !strings.Contains(err.Error(), h.at("/none/file")+": no such file or directory; nothing was changed") {
		t.Errorf("%v", err)
	}
	same(t, "taken back", tree(t, h.root), before)
}

// TestFullDisk is the same through Install: that a disk is full shows only while files are written.
func TestFullDisk(t *testing.T) {
	r := request(t, CNI, Service)
	write(t, filepath.Join(r.Binary, pluginProgram), strings.Repeat("x", 1<<18), 0o755)
	small := filepath.Dir(filepath.Join(r.Root, servicePath))
	check(t, os.MkdirAll(small, 0o755))
	check(t, syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { check(t, syscall.Unmount(small, 0)) })
	before := tree(t, r.Root)
	if _, err := Install(r); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), servicePath+": ") {
		t.Errorf("%v", err)
	}
	same(t, "failed", tree(t, r.Root), before)
}

func TestFileForADirectory(t *testing.T) {
	r := request(t, CNI, Service)
	write(t, filepath.Join(r.Root, "etc"), "a file where a directory should be", 0o644)
	before := tree(t, r.Root)
	if _, err := Install(r); !errors.Is(err, syscall.ENOTDIR) || !strings.Contains(err.Error(), filepath.Join(r.Root, unitPath)) {
		t.Errorf("%v", err)
	}
	same(t, "failed", tree(t, r.Root), before)
}

// TestLinksOutOfTheTree: an image's absolute link means a place in the image, not on this host.
func TestLinksOutOfTheTree(t *testing.T) {
	r := request(t, CNI)
	outside := t.TempDir()
	check(t, os.Symlink(outside, filepath.Join(r.Root, "opt")))
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "/opt/cni/bin") || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("%v", err)
	}
	same(t, "outside", tree(t, outside), map[string]string{})
}

func TestBadManifest(t *testing.T) {
	for name, text := range map[string]string{
		"empty":       "",
		"half":        `{"schema":1,"files":[`,
		"newer":       `{"schema":2,"files":[]}`,
		"part":        `{"schema":1,"files":[{"path":"/x","part":"hook"}]}`,
		"path":        `{"schema":1,"files":[{"path":"/x/../y","part":"cni"}]}`,
		"directory":   `{"schema":1,"files":[],"directories":["x"]}`,
		"mode":        `{"schema":1,"files":[{"path":"/x","part":"cni","mode":"rwx"}]}`,
		"not a table": `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, CNI)
			write(t, filepath.Join(r.Root, manifestPath), text, 0o600)
			for _, do := range []func(Request) (Result, error){Install, Uninstall} {
				_, err := do(r)
				if err == nil || !strings.Contains(err.Error(), r.Root+manifestPath+": ") || !strings.Contains(err.Error(), "move it away") {
					t.Errorf("%v", err)
				}
			}
		})
	}
}

func TestOneAtATime(t *testing.T) {
	r := request(t, CNI)
	unlock, err := host{r.Root}.lock()
	check(t, err)
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "another mcpnet") {
		t.Errorf("%v", err)
	}
	unlock()
	mustInstall(t, r)
}

func TestNeedRoot(t *testing.T) {
	for _, c := range []struct {
		root string
		euid int
		want bool
	}{{"/", 0, false}, {"/", 1000, true}, {"/tmp/x", 1000, false}} {
		err := needRoot(c.root, c.euid)
		if (err != nil) != c.want || (err != nil && !strings.Contains(err.Error(), "sudo")) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
