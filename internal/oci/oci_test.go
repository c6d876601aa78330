package oci_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/policy"
)

const bundle = `{"ociVersion":"1.2.0","x-unknown":{"big":12345678901234567890,"deep":[{"k":null}]},
"process":{"user":{"uid":0},"args":["sh"],"x-more":1.50,"capabilities":{"bounding":["CAP_NET_RAW","CAP_NET_BIND_SERVICE","CAP_ODD"],
"effective":["CAP_NET_BIND_SERVICE","CAP_SYS_ADMIN"],"permitted":["CAP_SYS_ADMIN"],"ambient":["CAP_NET_BIND_SERVICE"],"x-set":["CAP_KILL"]}},
"annotations":{"mine":"stays"},"mounts":[{"destination":"/etc/hosts/","source":"/s/hosts"}],
"linux":{"namespaces":[{"type":"mount"},{"type":"network"},{"type":"pid"},{"type":"ipc"},{"type":"uts"}],
"resources":{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"rwm"}]},
"maskedPaths":["/proc/kcore"],"readonlyPaths":["/proc/sys","/proc/sysrq-trigger"]}}`

func parse(t *testing.T, text string) *oci.Document {
	t.Helper()
	d, err := oci.Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decoded(t *testing.T, d *oci.Document) map[string]any {
	t.Helper()
	data, err := d.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHarden changes what it is about and nothing else, unknown fields and long numbers included.
func TestHarden(t *testing.T) {
	want, d := decoded(t, parse(t, bundle)), parse(t, bundle)
	if problems, err := d.Excess(policy.DefaultCaps); err != nil || len(problems) != 4 {
		t.Errorf("before: %q, %v", problems, err)
	}
	if err := d.Harden(policy.DefaultCaps); err != nil {
		t.Fatal(err)
	}
	process := want["process"].(map[string]any)
	process["noNewPrivileges"] = true
	one := []any{"CAP_NET_BIND_SERVICE"}
	process["capabilities"] = map[string]any{"bounding": one, "effective": one, "inheritable": []any{}, "permitted": []any{}, "x-set": []any{"CAP_KILL"}}
	want["annotations"] = map[string]any{"mine": "stays", oci.CapsAnnotation: "NET_BIND_SERVICE"}
	got := decoded(t, d)
	delete(got["linux"].(map[string]any), "seccomp") // TestSockets
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if problems, err := d.Excess(policy.DefaultCaps); err != nil || len(problems) > 0 {
		t.Errorf("after: %q, %v", problems, err)
	}
	if problems, err := d.Excess(0); err != nil || len(problems) != 1 {
		t.Errorf("for none: %q, %v", problems, err)
	}
	if caps, ok, err := d.Hardened(); !ok || err != nil || caps != policy.DefaultCaps {
		t.Errorf("marked %v %v %v", caps, ok, err)
	}
}

// TestHardenNothing: a process without sets gets empty ones, since runtimes differ about what none means.
func TestHardenNothing(t *testing.T) {
	for _, text := range []string{`{"args":["sh"]}`, `{"capabilities":null}`, `{"capabilities":{}}`, `{"capabilities":{"bounding":null}}`} {
		d := parse(t, text)
		if err := d.HardenProcess(policy.DefaultCaps); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"bounding": []any{}, "effective": []any{}, "inheritable": []any{}, "permitted": []any{}}
		if diff := cmp.Diff(want, decoded(t, d)["capabilities"]); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestBroken(t *testing.T) {
	for _, text := range []string{``, `null`, `[]`, `{"process":`} {
		if _, err := oci.Parse("config.json", []byte(text)); err == nil || !strings.Contains(err.Error(), "config.json") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{`{}`, `{"process":null}`, `{"process":3}`, `{"process":{"capabilities":[]}}`, `{"process":{"capabilities":{"bounding":"x"}}}`,
		`{"process":{},"annotations":7}`} {
		if err := parse(t, text).Harden(0); err == nil {
			t.Errorf("%s is hardened", text)
		}
	}
}

// TestBrokenHardened: what cannot be read conforms to nothing.
func TestBrokenHardened(t *testing.T) {
	for name, text := range map[string]string{
		"annotations": `{"process":{},"annotations":7}`,
		"no process":  `{"annotations":{"io.mcpnet.caps":"none"}}`,
		"a process":   `{"process":3,"annotations":{"io.mcpnet.caps":"none"}}`,
		"a set":       `{"process":{"capabilities":{"bounding":"x"}},"annotations":{"io.mcpnet.caps":"none"}}`,
	} {
		if caps, ok, err := parse(t, text).Hardened(); ok || err == nil {
			t.Errorf("%s: %v %v %v", name, caps, ok, err)
		}
	}
}

// TestForgedMark: users can write annotations. Without what it says, the mark is none.
func TestForgedMark(t *testing.T) {
	for _, mark := range []string{`"NONSENSE"`, `7`, `""`, `"CHOWN"`, `"NET_RAW,NET_BIND_SERVICE"`} {
		text := strings.Replace(bundle, `"mine":"stays"`, `"io.mcpnet.caps":`+mark, 1)
		if caps, ok, err := parse(t, text).Hardened(); ok || err != nil {
			t.Errorf("%s: %v %v %v", mark, caps, ok, err)
		}
	}
}

func TestBreaches(t *testing.T) {
	change := func(from, to string) string { return strings.Replace(bundle, from, to, 1) }
	for name, tt := range map[string]struct{ text, want string }{
		"ordinary":      {bundle, ""},
		"no network":    {change(`{"type":"network"},`, ``), "shares the host's network namespace"},
		"host's path":   {change(`{"type":"pid"}`, `{"type":"pid","path":"/proc/self/ns/pid"}`), "shares the host's pid namespace"},
		"no ipc":        {change(`{"type":"ipc"},`, ``), "shares the host's ipc namespace"},
		"no namespaces": {`{}`, "shares the host's network namespace"},
		"privileged":    {change(`"allow":false`, `"allow":true`), "every device"},
		"type a":        {change(`"allow":false`, `"allow":true,"type":"a","major":-1,"minor":-1`), "every device"},
		"all character": {change(`"allow":false`, `"allow":true,"type":"c"`), `may use the devices "c *:* rwm"`},
		"read only":     {change(`"allow":false,"access":"rwm"`, `"allow":true,"access":"r"`), `may use the devices "a *:* r"`},
		"nodes of all":  {change(`"allow":false,"access":"rwm"`, `"allow":true,"type":"b","access":"m"`), ""},
	} {
		problems, err := parse(t, tt.text).Breaches()
		if err != nil || (tt.want == "") != (len(problems) == 0) || !strings.Contains(strings.Join(problems, ";"), tt.want) {
			t.Errorf("%s: %q, %v", name, problems, err)
		}
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), oci.ConfigFile)
	if err := os.WriteFile(path, []byte(bundle), 0o640); err != nil {
		t.Fatal(err)
	}
	d, err := oci.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Harden(0); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again, err := oci.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decoded(t, d), decoded(t, again)); diff != "" {
		t.Error(diff)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left beside it: %v, %v", entries, err)
	}
}

func TestCalls(t *testing.T) {
	for line, want := range map[string]struct{ command, id, config, process, root string }{
		"--root /r --log /l --log-format json create --bundle /b --pid-file /p --console-socket /s abc": {"create", "abc", "/b/config.json", "", "/r"},
		"--root=/r --systemd-cgroup create -b /b abc":                                                   {"create", "abc", "/b/config.json", "", "/r"},
		"run abc":                               {"run", "abc", "config.json", "", ""},
		"--debug create --config /x/y.json abc": {"create", "abc", "/x/y.json", "", ""},
		"create -b/ abc":                        {"create", "abc", "config.json", "", ""},
		"exec --process /tmp/p --detach --pid-file /q abc":     {"exec", "abc", "", "/tmp/p", ""},
		"exec -process=/tmp/p abc":                             {"exec", "abc", "", "/tmp/p", ""},
		"--root /r exec --cap CAP_KILL -t abc sh -p /not/this": {"exec", "abc", "", "", "/r"},
		"exec -- abc sh": {"exec", "abc", "", "", ""},
		"--cgroup-manager cgroupfs --root /r start abc": {"start", "abc", "", "", "/r"},
		"--version": {"", "", "", "", ""},
		"features":  {"features", "", "", "", ""},
		"state abc": {"state", "abc", "", "", ""},
	} {
		c := oci.ParseCall(strings.Fields(line))
		config := ""
		if c.Command == "create" || c.Command == "run" {
			config = c.Config()
		}
		process := ""
		if c.Command == "exec" {
			process = c.Process()
		}
		root := ""
		if len(c.Roots()) == 1 {
			root = c.Roots()[0]
		}
		if c.Command != want.command || (c.Command != "" && c.ID() != want.id) || config != want.config || process != want.process || root != want.root {
			t.Errorf("%s: %q id %q config %q process %q root %q", line, c.Command, c.ID(), config, process, root)
		}
	}
}

func TestReadState(t *testing.T) {
	root := t.TempDir()
	write := func(id, file, text string) {
		dir := filepath.Join(root, id)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("runc", "state.json", `{"init_process_pid":7,"config":{"labels":["a=b","bundle=/b"]}}`)
	write("crun", "status", `{"pid":8,"bundle":"/c","x":1}`)
	write("odd", "state.json", `{"id":"odd"}`)
	for id, want := range map[string]oci.State{"runc": {ID: "runc", PID: 7, Bundle: "/b"}, "crun": {ID: "crun", PID: 8, Bundle: "/c"}} {
		if got, err := oci.ReadState([]string{"/nowhere", root}, id); err != nil || got != want {
			t.Errorf("%s: %v, %v", id, got, err)
		}
	}
	for _, id := range []string{"odd", "none", "", "..", "a/b"} {
		if s, err := oci.ReadState([]string{root}, id); err == nil {
			t.Errorf("%q: %v", id, s)
		}
	}
}
