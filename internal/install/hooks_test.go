package install

import (
	"errors"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// TestRuntimeHooks: never in a directory that CRI-O reads, and with Podman's own directories named beside it.
func TestRuntimeHooks(t *testing.T) {
	r := runtimeRequest(t, nil, part.Podman)
	r.Hooks = true
	mustInstall(t, r)
	want := `[engine]
hooks_dir = ["/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d", "` + hooksDir + `"]
[engine.runtimes]`
	if text := read(t, r, podmanPath); !strings.Contains(text, want) {
		t.Error(text)
	}
	text := read(t, r, hooksDir+"/91-mcpnet-verify.json")
	if !strings.Contains(text, `"createRuntime"`) || !strings.Contains(text, `"always": true`) {
		t.Error(text)
	}
	r.Hooks = false
	mustUninstall(t, r)
	same(t, "uninstalled", contents(t, r.Root), map[string]string{})
}

// Files of Podman's settings that users write.
const (
	vendorConf = "/usr/share/containers/containers.conf"
	userConf   = "/etc/containers/containers.conf"
	earlyConf  = "/etc/containers/containers.conf.d/10-mine.conf"
	lateConf   = "/etc/containers/containers.conf.d/99-mine.conf"
	rootConf   = "/etc/containers/containers.rootful.conf.d/10-mine.conf"
)

// hooksIn is a file of settings with this list of directories.
func hooksIn(list string) string { return "[engine]\nhooks_dir = " + list + "\n" }

// TestRuntimeHooksKeepUsers: the user's directories of hooks stay in use, in their order, and mcpnet's is added. A
// second run changes nothing, and uninstalling leaves the user's files as they were.
func TestRuntimeHooksKeepUsers(t *testing.T) {
	const ours = `"` + hooksDir + `"`
	for name, c := range map[string]struct {
		files map[string]string
		want  string // the list; empty: none
	}{
		"other settings": {map[string]string{userConf: "[engine]\nruntime = \"crun\"\n[containers]\n"},
			`["/usr/share/containers/oci/hooks.d", "/etc/containers/oci/hooks.d", ` + ours + `]`},
		"main file": {map[string]string{userConf: hooksIn("['/a', \"/b c\"]")},
			`["/a", "/b c", ` + ours + `]`},
		"odd names": {map[string]string{userConf: `engine.hooks_dir = ["/a\"b\\c\u0001"]`},
			`["/a\"b\\c\u0001", ` + ours + `]`},
		"none": {map[string]string{userConf: hooksIn("[]")}, `[` + ours + `]`},
		"the last counts": {map[string]string{vendorConf: hooksIn("['/v']"), userConf: hooksIn("['/u']"),
			earlyConf: hooksIn("['/d']")}, `["/d", ` + ours + `]`},
		"vendor's": {map[string]string{vendorConf: hooksIn("['/v']")}, `["/v", ` + ours + `]`},
		"appends": {map[string]string{userConf: hooksIn("['/u', {append=true}]")},
			`[` + ours + `, {append = true}]`},
		"appends no more": {map[string]string{userConf: hooksIn("['/u', {append=true}]"),
			earlyConf: hooksIn("['/d', {append=false}]")}, `["/d", ` + ours + `]`},
		"ours already": {map[string]string{userConf: hooksIn("['/u', '" + hooksDir + "']")}, ""},
		"a later one has ours": {map[string]string{lateConf: hooksIn("['/l', '" + hooksDir + "']"),
			userConf: hooksIn("['/u']")},
			`["/u", ` + ours + `]`},
		"a later one appends": {map[string]string{lateConf: hooksIn("['/l', {append=true}]"),
			userConf: hooksIn("['/u']")},
			`["/u", ` + ours + `]`},
	} {
		t.Run(name, func(t *testing.T) {
			r := runtimeRequest(t, c.files, part.Podman)
			before := contents(t, r.Root)
			r.Hooks = true
			mustInstall(t, r)
			line := ""
			for l := range strings.Lines(read(t, r, podmanPath)) {
				if list, is := strings.CutPrefix(l, "hooks_dir = "); is {
					line += strings.TrimSuffix(list, "\n")
				}
			}
			if line != c.want {
				t.Errorf("%s\nwant %s", line, c.want)
			}
			for path, verb := range verbsOf(mustInstall(t, r)) {
				if verb != Unchanged {
					t.Errorf("once more: %s %s", verb, path)
				}
			}
			mustUninstall(t, r)
			same(t, "uninstalled", contents(t, r.Root), before)
		})
	}
}

// TestRuntimeHooksRefused: hooks that Podman would never read are not installed, and the remedy is named.
func TestRuntimeHooksRefused(t *testing.T) {
	const replaces = "sets engine.hooks_dir, which replaces the one of " + podmanPath + `: add "` + hooksDir + `" there`
	for name, c := range map[string]struct{ path, text, want string }{
		"a later drop-in":    {lateConf, hooksIn("['/l']"), lateConf + " " + replaces},
		"a rootful drop-in":  {rootConf, hooksIn("['/l']"), rootConf + " " + replaces},
		"no TOML":            {userConf, "[engine\n", userConf + " is not valid TOML (line 1"},
		"no list":            {userConf, hooksIn("'/u'"), userConf + " has an engine.hooks_dir that is not a list"},
		"no path":            {userConf, hooksIn("[1]"), userConf + " has 1 in its engine.hooks_dir"},
		"no TOML after ours": {lateConf, "= 1", lateConf + " is not valid TOML"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runtimeRequest(t, map[string]string{c.path: c.text}, part.Podman)
			before := contents(t, r.Root)
			r.Hooks = true
			_, err := Install(r)
			var refused Refused
			if !errors.As(err, &refused) || len(refused.Reasons) != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			same(t, "refused", contents(t, r.Root), before)
			r.Hooks = false
			mustInstall(t, r) // which reads none of that
		})
	}
}
