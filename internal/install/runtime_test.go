package install

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/action"
	"github.com/mcpnet/mcpnet/internal/install/manifest"
	"github.com/mcpnet/mcpnet/internal/install/part"
)

const (
	version2 = `version = 2
root = "/var/lib/containerd" # the usual one

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "mine/pause:1"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      privileged_without_host_devices = true
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = true
`
	version2Table = version2 + `
[plugins."io.containerd.grpc.v1.cri".containerd] # settings
snapshotter = "overlayfs"
`
	version3 = `version = 3
[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = 'runc'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = ''
  SystemdCgroup = true
`
)

// TestRuntimeThereAndBack: whatever was there is there again afterwards, to the byte and with its mode, and in
// between the runtime is registered and everything else is as it was.
func TestRuntimeThereAndBack(t *testing.T) {
	for name, c := range map[string]struct {
		engine Engine
		path   string
		text   string // "-": no such file
		hold   []string
	}{
		"docker none":         {part.Docker, dockerPath, "-", []string{"{\n    \"runtimes\": {\n        \"mcpnet\": {\"path\": \"" + part.RuntimePath + "\"}"}},
		"docker no text":      {part.Docker, dockerPath, "", []string{`"mcpnet-default": {"path": "` + part.DefaultPath + `"}`}},
		"docker blank":        {part.Docker, dockerPath, "\n \n", nil},
		"docker empty":        {part.Docker, dockerPath, "{}", []string{"{\n    \"runtimes\""}},
		"docker empty, open":  {part.Docker, dockerPath, "{\n\n}\n", nil},
		"docker one line":     {part.Docker, dockerPath, `{"debug":true}`, []string{`{"debug":true, "runtimes": {"mcpnet"`}},
		"docker tabs":         {part.Docker, dockerPath, "{\n\t\"z\": 1e400,\n\t\"a\": [ 1 , 2 ]\n}\n", []string{"\n\t\"z\": 1e400,\n\t\"a\": [ 1 , 2 ],\n\t\"runtimes\": {\n\t\t\"mcpnet\": {"}},
		"docker odd spaces":   {part.Docker, dockerPath, "{\n  \"a\" :1 ,\n  \"b\":2  }", nil},
		"docker long number":  {part.Docker, dockerPath, `{"max": 123456789012345678901234567890}`, []string{"123456789012345678901234567890"}},
		"docker other":        {part.Docker, dockerPath, "{\n  \"runtimes\": {\n    \"kata\": {\n      \"path\": \"/x\"\n    }\n  },\n  \"debug\": true\n}\n", []string{"\"kata\": {\n      \"path\": \"/x\"\n    },\n    \"mcpnet\": {\"path\""}},
		"docker no runtimes":  {part.Docker, dockerPath, `{"runtimes": {}}`, nil},
		"docker default":      {part.Docker, dockerPath, "{\n  \"default-runtime\" : \"runc\",\n  \"debug\": true\n}\n", nil},
		"docker escapes":      {part.Docker, dockerPath, "{\"\\u0061\": \"\\u003c\"}\n", []string{`"\u0061": "\u003c"`}},
		"docker windows":      {part.Docker, dockerPath, "{\r\n  \"debug\": true\r\n}\r\n", nil},
		"containerd none":     {part.Containerd, containerdPath, "-", []string{"version = 2\n", "runtimes.runc]"}},
		"containerd version":  {part.Containerd, containerdPath, "version = 2\n", []string{"runtimes.runc]"}},
		"containerd 2":        {part.Containerd, containerdPath, version2, []string{"SystemdCgroup = true\n", "privileged_without_host_devices = true\n", `BinaryName = '` + part.RuntimePath + "'\n"}},
		"containerd 2 table":  {part.Containerd, containerdPath, version2Table, nil},
		"containerd no end":   {part.Containerd, containerdPath, strings.TrimSuffix(version2, "\n"), nil},
		"containerd 3":        {part.Containerd, containerdPath, version3, []string{`imports = ["` + containerdDropin + `"]`}},
		"containerd 3 list":   {part.Containerd, containerdPath, "imports = [ # mine\n  '/etc/x/*.toml', ]\n" + version3, nil},
		"containerd 3 [ ]":    {part.Containerd, containerdPath, "imports = [ ]\n" + version3, []string{`imports = ["` + containerdDropin + `" ]`}},
		"containerd 3 import": {part.Containerd, containerdPath, "imports = ['conf.d/*.toml']\n" + version3, []string{"imports = ['conf.d/*.toml']\nversion"}},
		"crio":                {part.CRIO, crioPath, "-", []string{"[crio.runtime.runtimes.mcpnet]\nruntime_path = \"" + part.RuntimePath + "\"\nruntime_type = \"oci\"\n"}},
		"podman":              {part.Podman, podmanPath, "-", []string{"[engine.runtimes]\nmcpnet = [\"" + part.RuntimePath + "\"]\n"}},
	} {
		for _, setDefault := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " default"}[setDefault], func(t *testing.T) {
				files := map[string]string{c.path: c.text}
				if c.text == "-" {
					files = nil
				}
				r := runtimeRequest(t, files, c.engine)
				r.SetDefault = setDefault
				before := contents(t, r.Root)
				r.DryRun = true
				would := mustInstall(t, r)
				same(t, "dry run", contents(t, r.Root), before)
				r.DryRun = false
				if did := mustInstall(t, r); !maps.Equal(verbsOf(would), verbsOf(did)) {
					t.Errorf("would: %v\ndid: %v", would, did)
				}
				text := read(t, r, c.path)
				if c.path == containerdPath && strings.Contains(text, "version = 3") {
					text += read(t, r, containerdDropin)
				}
				for _, want := range append(c.hold, map[bool]string{true: part.DefaultName}[setDefault]) {
					if !strings.Contains(text, want) {
						t.Errorf("no %q in\n%s", want, text)
					}
				}
				wantPrograms(t, r)
				for _, again := range []bool{setDefault, false} {
					r.SetDefault = again
					for path, verb := range verbsOf(mustInstall(t, r)) {
						if verb != Unchanged {
							t.Errorf("once more: %s %s:\n%s", verb, path, read(t, r, path))
						}
					}
				}
				if result := mustUninstall(t, r); !result.Complete() {
					t.Errorf("%v", result)
				}
				same(t, "uninstalled", contents(t, r.Root), before)
			})
		}
	}
}

func wantPrograms(t *testing.T, r Request) {
	t.Helper()
	all := contents(t, r.Root)
	for _, path := range []string{part.RuntimePath, part.DefaultPath} {
		if all[path] != "-rwxr-xr-x runtime 1" {
			t.Errorf("%s: %q", path, all[path])
		}
	}
}

// TestRuntimeForce takes a key over, and uninstalling gives it back.
func TestRuntimeForce(t *testing.T) {
	const text = `{"runtimes": {"mcpnet": {"path": "/x"}}, "default-runtime": "nvidia"}`
	r := runtimeRequest(t, map[string]string{dockerPath: text}, part.Docker)
	before := contents(t, r.Root)
	r.Force, r.SetDefault = true, true
	mustInstall(t, r)
	if now := read(t, r, dockerPath); !strings.Contains(now, part.RuntimePath) || strings.Contains(now, "/x") || strings.Contains(now, "nvidia") {
		t.Error(now)
	}
	r.Force, r.SetDefault = false, false
	mustInstall(t, r)
	mustUninstall(t, r)
	same(t, "uninstalled", contents(t, r.Root), before)
}

// TestRuntimeDefaultLater: --set-default on top of an installation, and what was there before is brought back.
func TestRuntimeDefaultLater(t *testing.T) {
	for engine, files := range map[Engine]map[string]string{
		part.Docker: {dockerPath: `{"default-runtime": "runc"}`}, part.Containerd: {containerdPath: version2}, part.CRIO: nil, part.Podman: nil,
	} {
		t.Run(string(engine), func(t *testing.T) {
			r := runtimeRequest(t, files, engine)
			before := contents(t, r.Root)
			mustInstall(t, r)
			r.SetDefault = true
			mustInstall(t, r)
			got := contents(t, r.Root)
			r.SetDefault = false
			write(t, filepath.Join(r.Binary, part.RuntimeProgram), "runtime 1", 0o755)
			mustInstall(t, r)
			same(t, "once more without", contents(t, r.Root), got)
			mustUninstall(t, r)
			same(t, "uninstalled", contents(t, r.Root), before)
		})
	}
}

// TestRuntimeChangedMeanwhile: what others changed stays, and mcpnet's part goes where it is still its own.
func TestRuntimeChangedMeanwhile(t *testing.T) {
	ours := `"mcpnet":{"path":"` + part.RuntimePath + `"},"mcpnet-default":{"path":"` + part.DefaultPath + `"}`
	for name, c := range map[string]struct {
		path   string
		change func(string) string
		left   string // what the file is afterwards; empty: mcpnet's part stays
		reason string
	}{
		"docker reformatted": {dockerPath, func(string) string {
			return `{"default-runtime":"mcpnet-default","runtimes":{` + ours + `},"debug":true}`
		}, `{"debug":true}`, ""},
		"docker added": {dockerPath, func(s string) string { return strings.Replace(s, "{\n", "{\n    \"x\": 1,\n", 1) },
			"{\n    \"x\": 1\n}\n", ""},
		"docker own runtime": {dockerPath, func(string) string { return `{"runtimes":{"x":{},` + ours + `}}` }, `{"runtimes":{"x":{}}}`, ""},
		"docker default":     {dockerPath, func(s string) string { return strings.Replace(s, `: "mcpnet-default"`, `: "runc"`, 1) }, "{\n    \"default-runtime\": \"runc\"\n}\n", ""},
		"docker gone":        {dockerPath, func(string) string { return `{"a": 1}` }, `{"a": 1}`, ""},
		"docker changed":     {dockerPath, func(s string) string { return strings.Replace(s, part.RuntimePath+`"`, `/y"`, 1) }, "", "another runtimes.mcpnet"},
		"docker named":       {dockerPath, func(s string) string { return strings.Replace(s, `: "mcpnet-default"`, `: "mcpnet"`, 1) }, "", "as its default-runtime"},
		"docker broken":      {dockerPath, func(s string) string { return s + "x" }, "", "not valid JSON"},
		"containerd around": {containerdPath, func(s string) string {
			return "# mine\n" + s + "[debug]\nlevel = \"info\"\n"
		}, "# mine\nversion = 2\n[debug]\nlevel = \"info\"\n", ""},
		"containerd changed": {containerdPath, func(s string) string { return strings.Replace(s, part.RuntimePath, "/y", 1) }, "", "changed where mcpnet's part is"},
		"containerd gone":    {containerdPath, func(string) string { return "version = 2\n[debug]\n" }, "version = 2\n[debug]\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			engine := map[string]Engine{dockerPath: part.Docker, containerdPath: part.Containerd}[c.path]
			r := runtimeRequest(t, nil, engine)
			r.SetDefault = true
			mustInstall(t, r)
			changed := c.change(read(t, r, c.path))
			write(t, filepath.Join(r.Root, c.path), changed, 0o644)
			result := mustUninstall(t, r)
			if complete := c.left != ""; result.Complete() != complete {
				t.Errorf("%v", result.Actions)
			}
			if want := map[bool]string{true: changed, false: c.left}[c.left == ""]; read(t, r, c.path) != want {
				t.Errorf("left:\n%s\nwant:\n%s", read(t, r, c.path), want)
			}
			if a := actionAt(t, result, c.path); !strings.Contains(a.Reason, c.reason) {
				t.Errorf("%v", a)
			}
			if _, there := contents(t, r.Root)[part.RuntimePath]; there != (c.left == "") {
				t.Errorf("the program is there: %v", there)
			}
		})
	}
}

// TestRuntimeDefaultByHand: containerd would not start without the runtime that its default names.
func TestRuntimeDefaultByHand(t *testing.T) {
	for _, text := range []string{version2Table, version3} {
		r := runtimeRequest(t, map[string]string{containerdPath: text}, part.Containerd)
		mustInstall(t, r)
		named := strings.Replace(read(t, r, containerdPath), `snapshotter = "overlayfs"`, `default_runtime_name = "mcpnet"`, 1)
		named = strings.Replace(named, "'runc'", "'mcpnet-default'", 1)
		write(t, filepath.Join(r.Root, containerdPath), named, 0o640)
		result := mustUninstall(t, r)
		for _, a := range result.Actions {
			if a.Verb != action.Leave && a.Part != part.Runtime {
				t.Errorf("%v", a)
			}
		}
		wantPrograms(t, r)
		write(t, filepath.Join(r.Root, containerdPath), strings.NewReplacer("'mcpnet-default'", "'runc'", `= "mcpnet"`, `= "runc"`).Replace(named), 0o640)
		if result := mustUninstall(t, r); !result.Complete() {
			t.Errorf("%v", result.Actions)
		}
	}
}

// TestRuntimeOneOfSeveral: the programs stay as long as an engine's configuration names them.
func TestRuntimeOneOfSeveral(t *testing.T) {
	r := runtimeRequest(t, nil, Engines...)
	r.Hooks = true
	result := mustInstall(t, r)
	hook := hooksDir + "/90-mcpnet-precreate.json"
	for path, verb := range map[string]Verb{dockerPath: action.Write, containerdPath: action.Write, crioPath: action.Write, podmanPath: action.Write, hook: action.Write, part.RuntimePath: action.Write, part.DefaultPath: action.Write} {
		if a := actionAt(t, result, path); a.Verb != verb {
			t.Errorf("%v", a)
		}
	}
	r.Hooks = false
	for _, e := range Engines {
		wantPrograms(t, r)
		r.Engines = []Engine{e}
		if result := mustUninstall(t, r); !result.Complete() {
			t.Errorf("%v", result.Actions)
		}
	}
	same(t, "all", contents(t, r.Root), map[string]string{})
}

// TestRuntimeOrder: what is named is there before it is named, and as long as it is.
func TestRuntimeOrder(t *testing.T) {
	r := runtimeRequest(t, map[string]string{containerdPath: version3}, Engines...)
	r.Hooks = true
	in := mustInstall(t, r).Actions
	r.Engines, r.Hooks = nil, false
	out := mustUninstall(t, r).Actions
	at := func(actions []Action, path string) int {
		return slices.IndexFunc(actions, func(a Action) bool { return a.Path == path && a.Verb != action.MakeDirectory })
	}
	for _, pair := range [][2]string{
		{part.RuntimePath, dockerPath}, {part.DefaultPath, crioPath}, {part.RuntimePath, containerdDropin}, {containerdDropin, containerdPath},
		{part.RuntimePath, hooksDir + "/91-mcpnet-verify.json"}, {hooksDir + "/91-mcpnet-verify.json", podmanPath},
	} {
		if at(in, pair[0]) >= at(in, pair[1]) {
			t.Errorf("installing: %s comes after %s", pair[0], pair[1])
		}
		if at(out, pair[0]) <= at(out, pair[1]) {
			t.Errorf("uninstalling: %s comes before %s", pair[0], pair[1])
		}
	}
	if in[len(in)-1].Verb != action.Record {
		t.Errorf("the record is not last: %v", in[len(in)-1])
	}
}

// TestRuntimeKilled: a process that was killed before it recorded anything leaves what the next one takes for its own.
func TestRuntimeKilled(t *testing.T) {
	for engine, files := range map[Engine]map[string]string{
		part.Docker: {dockerPath: "{\n  \"debug\": true\n}\n"}, part.Containerd: {containerdPath: version2Table}, part.Podman: nil,
	} {
		r := runtimeRequest(t, files, engine)
		r.SetDefault = true
		before := contents(t, r.Root)
		mustInstall(t, r)
		check(t, os.Remove(filepath.Join(r.Root, manifest.Path)))
		check(t, os.Remove(filepath.Join(r.Root, part.DefaultPath)))
		for path, verb := range verbsOf(mustInstall(t, r)) {
			if verb != Unchanged && path != part.DefaultPath && path != manifest.Path {
				t.Errorf("%s: %s %s", engine, verb, path)
			}
		}
		mustUninstall(t, r)
		for path, text := range before {
			if now := contents(t, r.Root)[path]; now != text {
				t.Errorf("%s: %q, was %q", path, now, text)
			}
		}
	}
}

// TestRuntimeDiff: the diff of each configuration file, in the form that patch(1) takes.
func TestRuntimeDiff(t *testing.T) {
	r := runtimeRequest(t, map[string]string{dockerPath: "{\n  \"debug\": true\n}\n"}, part.Docker, part.CRIO)
	result := mustInstall(t, r)
	want := "--- " + dockerPath + "\n+++ " + dockerPath + `
@@ -1,3 +1,7 @@
 {
-  "debug": true
+  "debug": true,
+  "runtimes": {
+    "mcpnet": {"path": "` + part.RuntimePath + `"},
+    "mcpnet-default": {"path": "` + part.DefaultPath + `"}
+  }
 }
`
	if got := actionAt(t, result, dockerPath).Diff; got != want {
		t.Errorf("%s", got)
	}
	if got := actionAt(t, result, crioPath).Diff; !strings.HasPrefix(got, "--- /dev/null\n+++ "+crioPath+"\n@@ -0,0 +1") {
		t.Errorf("%s", got)
	}
	if got := actionAt(t, result, part.RuntimePath).Diff; got != "" {
		t.Errorf("a program's: %s", got)
	}
	out := mustUninstall(t, r)
	if got := actionAt(t, out, crioPath).Diff; !strings.Contains(got, "+++ /dev/null\n") {
		t.Errorf("%s", got)
	}
}

// TestRuntimeReasons: an action says what its user should know: that containerd does not use what is written, and why a
// program stays.
func TestRuntimeReasons(t *testing.T) {
	const disables = "disabled_plugins disable the CRI"
	for line, want := range map[string]bool{`disabled_plugins = ["cri"]`: true, `disabled_plugins = ["io.containerd.grpc.v1.cri"]`: true,
		`disabled_plugins = ["btrfs"]`: false, "": false} {
		r := runtimeRequest(t, map[string]string{containerdPath: line + "\n" + version2, dockerPath: "{}\n"}, part.Docker, part.Containerd)
		if got := actionAt(t, mustInstall(t, r), containerdPath).Reason; strings.Contains(got, disables) != want {
			t.Errorf("%q: %q", line, got)
		}
		r.Engines = []Engine{part.Docker}
		if got := actionAt(t, mustUninstall(t, r), part.RuntimePath); got.Verb != Unchanged || !strings.Contains(got.Reason, "another engine") {
			t.Errorf("the runtime when containerd keeps it: %+v", got)
		}
	}
}

// TestManifestIsRoots: nobody else reads or writes what mcpnet would remove.
func TestManifestIsRoots(t *testing.T) {
	r := runtimeRequest(t, nil, part.Docker)
	mustInstall(t, r)
	info, err := os.Stat(filepath.Join(r.Root, manifest.Path))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestRuntimeNext: which engine has to read what anew.
func TestRuntimeNext(t *testing.T) {
	var actions []Action
	for _, e := range Engines {
		actions = append(actions, Action{Verb: action.Edit, Part: e.Part()})
	}
	want := []string{"systemctl reload docker", "systemctl restart containerd", "systemctl restart crio"}
	if got := installed("/", actions); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	want[0] = "systemctl restart docker" // which keeps a runtime that it knows when it only reloads
	if got := uninstalled("/", actions); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := append(installed("/mnt", actions), installed("/", []Action{{Verb: Unchanged, Part: part.Docker.Part()}, {Verb: action.Replace, Part: part.Runtime}})...); got != nil {
		t.Errorf("%q", got)
	}
}
