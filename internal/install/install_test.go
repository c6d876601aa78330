package install

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

func TestThereAndBack(t *testing.T) {
	old := syscall.Umask(0o077) // modes are what they should be whatever the user's umask is
	defer syscall.Umask(old)
	r := request(t, Parts...)
	mustInstall(t, r)
	got := contents(t, r.Root)
	for path, want := range map[string]string{
		"/opt/cni/bin/mcpnet":                "-rwxr-xr-x cni 1",
		"/usr/local/libexec/netavark/mcpnet": "-rwxr-xr-x cni 1",
		part.ServicePath:                     "-rwxr-xr-x plugin 1",
		part.UnitPath:                        "-rw-r--r-- " + string(unit),
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
	same(t, "once more", contents(t, r.Root), got)
	r.Parts = nil
	if _, err := Uninstall(r); err != nil {
		t.Fatal(err)
	}
	same(t, "uninstalled", contents(t, r.Root), map[string]string{})
}

// TestUninstallOnePart: the rest stays, and so does the record of it.
func TestUninstallOnePart(t *testing.T) {
	r := request(t, CNI, Service)
	mustInstall(t, r)
	r.Parts = []Part{CNI}
	_, err := Uninstall(r)
	check(t, err)
	left := contents(t, r.Root)
	for path, there := range map[string]bool{"/opt": false, part.ServicePath: true, part.UnitPath: true, manifest.Path: true} {
		if _, got := left[path]; got != there {
			t.Errorf("%s is there: %v", path, got)
		}
	}
	r.Parts = nil
	_, err = Uninstall(r)
	check(t, err)
	same(t, "all", contents(t, r.Root), map[string]string{})
}

// TestNext: what remains to be done depends on what was done, and where.
func TestNext(t *testing.T) {
	plugin := []Action{{Verb: action.Write, Path: "/opt/cni/bin/mcpnet", Part: CNI}}
	service := append(plugin, Action{Verb: action.Write, Path: part.UnitPath, Part: Service})
	removed := []Action{{Verb: action.Remove, Path: part.UnitPath, Part: Service}}
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
	same(t, "dry run", contents(t, r.Root), map[string]string{})
	r.DryRun = false
	did := mustInstall(t, r)
	if !maps.Equal(verbsOf(would), verbsOf(did)) {
		t.Errorf("would: %v\ndid: %v", would, did)
	}
	before := contents(t, r.Root)
	r.DryRun = true
	_, err := Uninstall(r)
	check(t, err)
	same(t, "dry run of uninstalling", contents(t, r.Root), before)
}

func TestUpgrade(t *testing.T) {
	r := request(t, CNI, Service)
	mustInstall(t, r)
	write(t, filepath.Join(r.Binary, part.CNIProgram), "cni 2", 0o755)
	write(t, filepath.Join(r.Binary, part.PluginProgram), "plugin 2", 0o755)
	check(t, os.Chmod(filepath.Join(r.Root, part.UnitPath), 0o666))
	result := mustInstall(t, r)
	got := verbsOf(result)
	if got["/opt/cni/bin/mcpnet"] != action.Replace || got[part.ServicePath] != action.Replace || got[part.UnitPath] != action.Replace || got[manifest.Path] != action.Record {
		t.Errorf("%v", result.Actions)
	}
	if next := installed("/", result.Actions); len(next) != 1 || !strings.Contains(next[0], "restart mcpnet") {
		t.Errorf("a running service has to be restarted: %q", next)
	}
	now := contents(t, r.Root)
	if now["/opt/cni/bin/mcpnet"] != "-rwxr-xr-x cni 2" || !strings.HasPrefix(now[part.UnitPath], "-rw-r--r-- ") {
		t.Errorf("%v", now)
	}
	_, err := Uninstall(r)
	check(t, err)
	same(t, "uninstalled", contents(t, r.Root), map[string]string{})
}

// TestForeign: what is in the way is not overwritten, everything that is in the way is named, and nothing is half-done.
func TestForeign(t *testing.T) {
	r := request(t, Parts...)
	write(t, filepath.Join(r.Root, "opt/cni/bin/mcpnet"), "of somebody else", 0o755)
	write(t, filepath.Join(r.Root, "usr/lib/netavark/driver"), "", 0o755)
	check(t, os.Symlink("driver", filepath.Join(r.Root, "usr/lib/netavark/mcpnet")))
	check(t, os.MkdirAll(filepath.Join(r.Root, part.UnitPath), 0o755))
	before := contents(t, r.Root)
	_, err := Install(r)
	var refused Refused
	if !errors.As(err, &refused) || len(refused.Reasons) != 3 {
		t.Fatalf("%v", err)
	}
	for _, want := range []string{"/opt/cni/bin/mcpnet is not mcpnet's", "/usr/lib/netavark/mcpnet is a symbolic link",
		part.UnitPath + " is a directory", "--force"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q: %v", want, err)
		}
	}
	same(t, "refused", contents(t, r.Root), before)

	r.Force = true
	if _, err := Install(r); !errors.As(err, &refused) || len(refused.Reasons) != 1 {
		t.Fatalf("a directory is never replaced: %v", err)
	}
	check(t, os.Remove(filepath.Join(r.Root, part.UnitPath)))
	mustInstall(t, r)
	now := contents(t, r.Root)
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
	edited := filepath.Join(r.Root, part.UnitPath)
	write(t, edited, "edited", 0o644)
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), part.UnitPath+" was changed since mcpnet installed it") {
		t.Errorf("%v", err)
	}
	for range 2 {
		result, err := Uninstall(r)
		check(t, err)
		if result.Complete() || verbsOf(result)[part.UnitPath] != action.Leave {
			t.Errorf("%v", result)
		}
		left := contents(t, r.Root)
		if _, there := left[part.ServicePath]; there || left[part.UnitPath] != "-rw-r--r-- edited" || left[manifest.Path] == "" {
			t.Errorf("%v", left)
		}
	}
	check(t, os.Remove(edited))
	result, err := Uninstall(r)
	check(t, err)
	if !result.Complete() || verbsOf(result)[part.UnitPath] != action.Forget {
		t.Errorf("%v", result)
	}
	same(t, "uninstalled", contents(t, r.Root), map[string]string{})
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
	paths := slices.Sorted(maps.Keys(contents(t, r.Root)))
	want := []string{"/opt", "/opt/cni", "/opt/cni/bin", "/opt/cni/bin/bridge",
		"/var", "/var/lib", "/var/lib/mcpnet", "/var/lib/mcpnet/cni", "/var/lib/mcpnet/cni/lock"}
	if !slices.Equal(paths, want) {
		t.Errorf("%v", paths)
	}
}

// TestAdoption: a file that is already what it should be is recorded, as after an installation that was killed.
func TestAdoption(t *testing.T) {
	r := request(t, CNI)
	mustInstall(t, r)
	check(t, os.Remove(filepath.Join(r.Root, manifest.Path)))
	if got := verbsOf(mustInstall(t, r)); got["/opt/cni/bin/mcpnet"] != Unchanged || got[manifest.Path] != action.Record {
		t.Errorf("%v", got)
	}
}

// TestEnabledServiceStays: systemd would keep a link to a unit that is gone.
func TestEnabledServiceStays(t *testing.T) {
	r := request(t, CNI, Service)
	mustInstall(t, r)
	check(t, os.MkdirAll(filepath.Join(r.Root, filepath.Dir(part.EnabledPaths[0])), 0o755))
	check(t, os.Symlink(part.UnitPath, filepath.Join(r.Root, part.EnabledPaths[0])))
	before := contents(t, r.Root)
	var refused Refused
	if _, err := Uninstall(r); !errors.As(err, &refused) || !strings.Contains(err.Error(), "systemctl disable --now mcpnet") {
		t.Errorf("%v", err)
	}
	same(t, "refused", contents(t, r.Root), before)
	r.Parts = []Part{CNI}
	if _, err := Uninstall(r); err != nil {
		t.Errorf("of another part: %v", err)
	}
}
