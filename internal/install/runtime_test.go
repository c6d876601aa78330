package install

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

// runtimeRequest is a request for engines in a tree that holds files.
func runtimeRequest(t *testing.T, files map[string]string, engines ...Part) Request {
	t.Helper()
	r := request(t, engines...)
	write(t, filepath.Join(r.Binary, runtimeProgram), "runtime 1", 0o755)
	for path, content := range files {
		write(t, filepath.Join(r.Root, path), content, 0o640)
	}
	return r
}

const (
	daemonJSON = "/etc/docker/daemon.json"
	configTOML = "/etc/containerd/config.toml"
)

// configs are configurations as users have them, by path. None may change by an installation and its end.
var configs = map[string]struct{ path, content string }{
	"docker, empty":       {daemonJSON, ""},
	"docker, braces":      {daemonJSON, "{}\n"},
	"docker, in use":      {daemonJSON, "{\n\t\"log-driver\": \"local\",\n\t\"max\": 12345678901234567890,\n  \"runtimes\": { \"nvidia\": {\"path\": \"/usr/bin/nvidia\", \"runtimeArgs\": []} },\n\t\"dns\" : [\"192.0.2.1\"]}"},
	"containerd, version": {configTOML, "version = 2\n"},
	"containerd, no end":  {configTOML, "# mine\nversion = 2\nroot = \"/srv\""},
	"containerd, in use":  {configTOML, "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"x\"\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\n  SystemdCgroup = true\n"},
	"containerd 2":        {configTOML, "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n  runtime_type = 'io.containerd.runc.v2'\n"},
	"docker, nothing":     {daemonJSON, "-"},
	"containerd, nothing": {configTOML, "-"},
}

func partOf(path string) Part {
	if path == daemonJSON {
		return Docker
	}
	return Containerd
}

func TestRuntimeRoundTrip(t *testing.T) {
	for name, c := range configs {
		for _, setDefault := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				files := map[string]string{c.path: c.content}
				if c.content == "-" {
					files = nil
				}
				r := runtimeRequest(t, files, partOf(c.path))
				r.SetDefault = setDefault
				before := tree(t, r.Root)
				_, err := Install(r)
				check(t, err)
				after := tree(t, r.Root)
				wantRegistered(t, r, c.path)
				again, err := Install(r)
				check(t, err)
				for _, a := range again.Actions {
					if a.Verb != Unchanged {
						t.Errorf("a second time: %s", a)
					}
				}
				if diff := cmp.Diff(after, tree(t, r.Root)); diff != "" {
					t.Errorf("a second time changes something: %s", diff)
				}
				_, err = Uninstall(Request{Root: r.Root, Parts: r.Parts})
				check(t, err)
				if diff := cmp.Diff(before, tree(t, r.Root)); diff != "" {
					t.Errorf("not as before: %s", diff)
				}
			})
		}
	}
}

// wantRegistered reads a configuration as its engine does.
func wantRegistered(t *testing.T, r Request, path string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.Root, path))
	check(t, err)
	got := map[string]string{}
	if path == daemonJSON {
		var d struct {
			Runtimes map[string]struct{ Path string }
			Default  string `json:"default-runtime"`
		}
		check(t, json.Unmarshal(text, &d))
		got[runtimeName], got[selectiveName], got["default"] = d.Runtimes[runtimeName].Path, d.Runtimes[selectiveName].Path, d.Default
	} else {
		var c containerdConfig
		check(t, toml.Unmarshal(text, &c))
		cri := c.Plugins[criTables[c.Version]].Containerd
		got[runtimeName], got[selectiveName], got["default"] = cri.Runtimes[runtimeName].Options.BinaryName, cri.Runtimes[selectiveName].Options.BinaryName, cri.Default
		if cri.Runtimes[runtimeName].Options.SystemdCgroup != cri.Runtimes["runc"].Options.SystemdCgroup {
			t.Errorf("cgroups differ from runc's: %s", text)
		}
	}
	want := map[string]string{runtimeName: runtimePath, selectiveName: selectivePath, "default": ""}
	if r.SetDefault {
		want["default"] = selectiveName
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s\n%s", path, diff, text)
	}
}

// TestRuntimeChangedSince: what a user writes beside mcpnet's part stays, at a second installation and at its end.
func TestRuntimeChangedSince(t *testing.T) {
	for path, change := range map[string][2]string{
		daemonJSON: {`"log-driver": "local"`, `"log-driver": "journald"`},
		configTOML: {`sandbox_image = "x"`, `sandbox_image = "y"`},
	} {
		content := configs["docker, in use"].content
		if path == configTOML {
			content = configs["containerd, in use"].content
		}
		r := runtimeRequest(t, map[string]string{path: content}, partOf(path))
		r.SetDefault = true
		_, err := Install(r)
		check(t, err)
		edit := func() {
			text, err := os.ReadFile(filepath.Join(r.Root, path))
			check(t, err)
			if !strings.Contains(string(text), change[0]) {
				t.Fatalf("%s lacks %s: %s", path, change[0], text)
			}
			write(t, filepath.Join(r.Root, path), strings.Replace(string(text), change[0], change[1], 1), 0o640)
		}
		edit()
		r.SetDefault = path == daemonJSON
		_, err = Install(r)
		check(t, err)
		wantRegistered(t, r, path)
		change[0], change[1] = change[1], change[0]
		edit()
		_, err = Uninstall(Request{Root: r.Root, Parts: r.Parts})
		check(t, err)
		text, err := os.ReadFile(filepath.Join(r.Root, path))
		check(t, err)
		if strings.Contains(string(text), "mcpnet") || !strings.Contains(string(text), change[1]) {
			t.Errorf("left: %s", text)
		}
	}
}

// TestRuntimeRefuses: nothing is changed, and the reason names the file and what to do.
func TestRuntimeRefuses(t *testing.T) {
	const own = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd"
	for name, tt := range map[string]struct {
		path, content string
		setDefault    bool
		says          string
		force         bool // lets it pass
	}{
		"broken JSON":          {daemonJSON, "{\n \"a\": 1,\n}", false, "line 3", false},
		"no object":            {daemonJSON, "[]", false, "not a JSON object", false},
		"runtimes is a list":   {daemonJSON, `{"runtimes": []}`, false, "not an object", false},
		"foreign runtime":      {daemonJSON, `{"runtimes": {"mcpnet": {"path": "/opt/other"}}}`, false, "--force", true},
		"foreign default":      {daemonJSON, `{"default-runtime": "nvidia"}`, true, "runtime.json", true},
		"broken TOML":          {configTOML, "version = = 2", false, "not valid TOML", false},
		"old version":          {configTOML, "root = \"/x\"\n", false, "containerd config migrate", false},
		"foreign handler":      {configTOML, own + ".runtimes.mcpnet]\nruntime_type = \"x\"\n", false, "did not write", false},
		"foreign handler name": {configTOML, own + "]\ndefault_runtime_name = \"kata\"\n", true, "kata", false},
		"table is there":       {configTOML, own + "]\nsnapshotter = \"overlayfs\"\n", true, "leave out --set-default", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := runtimeRequest(t, map[string]string{tt.path: tt.content}, partOf(tt.path))
			r.SetDefault = tt.setDefault
			before := tree(t, r.Root)
			_, err := Install(r)
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), tt.path) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if diff := cmp.Diff(before, tree(t, r.Root)); diff != "" {
				t.Errorf("changed: %s", diff)
			}
			r.Force = true
			if _, err := Install(r); (err == nil) != tt.force {
				t.Errorf("with --force: %v", err)
			}
		})
	}
}

// TestRuntimeLink: a configuration that is a link is nobody's to replace.
func TestRuntimeLink(t *testing.T) {
	r := runtimeRequest(t, map[string]string{"/srv/daemon.json": "{}"}, Docker)
	check(t, os.MkdirAll(filepath.Join(r.Root, "/etc/docker"), 0o755))
	check(t, os.Symlink("../../srv/daemon.json", filepath.Join(r.Root, daemonJSON)))
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("got %v", err)
	}
}

// TestRuntimePrograms come with the first engine and go with the last.
func TestRuntimePrograms(t *testing.T) {
	r := runtimeRequest(t, nil, CRIO, Podman)
	r.SetDefault, r.Hooks = true, true
	before := tree(t, r.Root)
	_, err := Install(r)
	check(t, err)
	installed := tree(t, r.Root)
	for path, text := range map[string]string{
		crioDropIn: `default_runtime = "mcpnet-default"`, podmanDropIn: hooksDir, hooksDir + "/90-mcpnet-precreate.json": `"precreate"`,
		hooksDir + "/91-mcpnet-verify.json": `"createRuntime"`, runtimePath: "runtime 1", selectivePath: "runtime 1",
	} {
		if !strings.Contains(installed[path], text) {
			t.Errorf("%s lacks %s: %s", path, text, installed[path])
		}
	}
	_, err = Uninstall(Request{Root: r.Root, Parts: []Part{Podman}})
	check(t, err)
	if left := tree(t, r.Root); left[runtimePath] == "" || left[crioDropIn] == "" || left[podmanDropIn] != "" {
		t.Errorf("Podman's end leaves %v", left)
	}
	_, err = Uninstall(Request{Root: r.Root})
	check(t, err)
	if diff := cmp.Diff(before, tree(t, r.Root)); diff != "" {
		t.Errorf("left: %s", diff)
	}
}

// TestRuntimeDryRun shows the difference and changes nothing.
func TestRuntimeDryRun(t *testing.T) {
	r := runtimeRequest(t, map[string]string{daemonJSON: "{\n  \"debug\": true\n}\n"}, Docker)
	r.DryRun = true
	before := tree(t, r.Root)
	result, err := Install(r)
	check(t, err)
	var diff string
	for _, a := range result.Actions {
		diff += a.Diff
	}
	if !strings.Contains(diff, "+++ b/etc/docker/daemon.json") || !strings.Contains(diff, runtimePath) {
		t.Errorf("difference: %s", diff)
	}
	if diff := cmp.Diff(before, tree(t, r.Root)); diff != "" {
		t.Errorf("changed: %s", diff)
	}
}
