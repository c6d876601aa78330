package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/golden"
	"github.com/mcpnet/mcpnet/internal/install"
)

// hostTree is the tree of a host with Debian's CNI plugins, and a directory with what would be mcpnet's programs.
func hostTree(t *testing.T) (root, binaries string) {
	t.Helper()
	root, binaries = t.TempDir(), t.TempDir()
	for _, dir := range []string{"usr/lib/cni", "usr/local/libexec", "etc/systemd/system", "var/lib"} {
		check(t, os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	for _, path := range []string{root + "/usr/lib/cni/bridge", binaries + "/mcpnet-cni", binaries + "/mcpnet-plugin", binaries + "/mcpnet-runtime"} {
		check(t, os.WriteFile(path, []byte(filepath.Base(path)), 0o755))
	}
	return root, binaries
}

// session runs commands one after the other, each with its output and exit status, for a golden file.
func session(root, binaries string, commands ...[]string) string {
	var all strings.Builder
	for _, args := range commands {
		full := append(slices.Clone(args), "--root", root)
		if args[0] == "install" {
			full = append(full, "--binary", binaries)
		}
		code, out, complaints := mcpnet(full...)
		all.WriteString("$ mcpnet " + strings.Join(args, " ") + "\n" + out + complaints + "exit status " + strconv.Itoa(code) + "\n\n")
	}
	return strings.NewReplacer(root, "ROOT", binaries, "BINARIES").Replace(all.String())
}

func TestInstallSession(t *testing.T) {
	root, binaries := hostTree(t)
	all := []string{"install", "--cni", "--netavark", "--service"}
	got := session(root, binaries, append(slices.Clone(all), "--dry-run"), all, all, []string{"uninstall", "--netavark"},
		[]string{"uninstall", "--dry-run"}, []string{"uninstall"}, []string{"uninstall"})
	golden.Check(t, *update, "install.txt", got)
	golden.Check(t, *update, "install-json.txt", session(root, binaries, []string{"install", "--cni", "--json"},
		[]string{"uninstall", "--json", "--dry-run"}, []string{"uninstall", "--cni", "--json"}, []string{"uninstall", "--json"}))
}

// TestInstallUnchanged: files that are the same already are counted in one line, and JSON still has each of them.
func TestInstallUnchanged(t *testing.T) {
	root, binaries := hostTree(t)
	run := func(args ...string) string {
		_, out, _ := mcpnet(append(append([]string{"install"}, args...), "--root", root, "--binary", binaries)...)
		return out
	}
	run("--cni")
	if out := run("--cni"); out != "Nothing changed: what is there is the same (1 file).\n" {
		t.Errorf("one file: %q", out)
	}
	out := run("--cni", "--netavark")
	if !strings.Contains(out, "wrote /usr/local/libexec/netavark/mcpnet") || !strings.HasSuffix(out, "unchanged: 1 file\n") {
		t.Errorf("one file more: %q", out)
	}
	if out := run("--cni", "--netavark", "--dry-run"); out != "Nothing changed: what is there is the same (2 files).\n" {
		t.Errorf("two files: %q", out)
	}
	var result install.Result
	check(t, json.Unmarshal([]byte(run("--cni", "--netavark", "--json")), &result))
	if len(result.Actions) != 2 || result.Actions[0].Verb != install.Unchanged {
		t.Errorf("%+v", result.Actions)
	}
}

// TestInstallRuntimeSession registers the runtime with engines, one of which has a configuration already.
func TestInstallRuntimeSession(t *testing.T) {
	root, binaries := hostTree(t)
	daemon := filepath.Join(root, "etc/docker/daemon.json")
	check(t, os.MkdirAll(filepath.Dir(daemon), 0o755))
	check(t, os.WriteFile(daemon, []byte("{\n  \"default-runtime\": \"runc\"\n}\n"), 0o644))
	docker := []string{"install", "--runtime", "docker,podman", "--set-default"}
	got := session(root, binaries, append(slices.Clone(docker), "--dry-run"), docker, docker,
		[]string{"install", "--runtime", "crio", "--json", "--dry-run"}, []string{"uninstall", "--runtime", "docker", "--dry-run"},
		[]string{"uninstall", "--runtime", "docker", "--runtime", "podman"})
	check(t, os.WriteFile(daemon, []byte("{,}"), 0o644))
	got += session(root, binaries, docker)
	golden.Check(t, *update, "install-runtime.txt", got)
}

// TestInstallOverOthers: what is not mcpnet's stays, and the output says what to do.
func TestInstallOverOthers(t *testing.T) {
	root, binaries := hostTree(t)
	plugin := filepath.Join(root, "usr/lib/cni/mcpnet")
	check(t, os.WriteFile(plugin, []byte("another"), 0o755))
	got := session(root, binaries, []string{"install", "--cni"}, []string{"install", "--cni", "--dry-run"}, []string{"install", "--cni", "--force"})
	check(t, os.WriteFile(plugin, []byte("changed"), 0o755))
	got += session(root, binaries, []string{"install", "--cni"}, []string{"uninstall"}, []string{"uninstall", "--json"})
	golden.Check(t, *update, "install-over-others.txt", got)
}

// TestInstallJSON: what the dry run says is what is done.
func TestInstallJSON(t *testing.T) {
	root, binaries := hostTree(t)
	args := []string{"install", "--cni", "--service", "--json", "--root", root, "--binary", binaries}
	var would, did install.Result
	code, out, complaints := mcpnet(append(slices.Clone(args), "--dry-run")...)
	check(t, json.Unmarshal([]byte(out), &would))
	if code != exitOK || complaints != "" || !would.DryRun {
		t.Errorf("%d %s %+v", code, complaints, would)
	}
	_, out, _ = mcpnet(args...)
	check(t, json.Unmarshal([]byte(out), &did))
	verbs := func(r install.Result) map[string]install.Verb {
		all := map[string]install.Verb{}
		for _, a := range r.Actions {
			all[a.Path] = a.Verb
		}
		return all
	}
	if !maps.Equal(verbs(would), verbs(did)) || len(did.Next) != 1 {
		t.Errorf("%+v\n%+v", would, did)
	}
}

func TestInstallErrors(t *testing.T) {
	root, binaries := hostTree(t)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing named":    {[]string{"install"}, exitUsage, "--cni, --netavark, --service"},
		"all at once":      {[]string{"install", "--dir", "x"}, exitUsage, "--runtime or several of them; --dir x goes with"},
		"superfluous word": {[]string{"install", "cni"}, exitUsage, "cni"},
		"unknown flag":     {[]string{"uninstall", "--force"}, exitUsage, "--force"},
		"unknown engine":   {[]string{"install", "--runtime", "docker,lxc"}, exitUsage, `--runtime "lxc" is no engine: accepted are docker, containerd, crio, podman`},
		"likely engine":    {[]string{"install", "--runtime", "cri-o"}, exitUsage, "; did you mean crio?"},
		"default of none":  {[]string{"install", "--cni", "--set-default"}, exitUsage, "--set-default goes with --runtime"},
		"hooks of docker":  {[]string{"install", "--runtime", "docker", "--hooks"}, exitUsage, "--hooks goes with --runtime podman"},
		"engine to remove": {[]string{"uninstall", "--runtime", "lxc"}, exitUsage, "is no engine"},
		"empty root":       {[]string{"uninstall", "--root", ""}, exitUsage, "--root is empty"},
		"one for two":      {[]string{"install", "--cni", "--service", "--root", root, "--binary", binaries + "/mcpnet-cni"}, exitUsage, "holds both"},
		"no tree":          {[]string{"install", "--cni", "--root", root + "/none", "--binary", binaries}, exitFailed, root + "/none: no such file"},
		"no program":       {[]string{"install", "--cni", "--root", root}, exitFailed, "build it with `make build`, or say where it is with --binary"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, complaints := mcpnet(c.args...)
			if code != c.code || out != "" || !strings.HasPrefix(complaints, "mcpnet: ") || !strings.Contains(complaints, c.want) {
				t.Errorf("exit status %d, want %d\nout: %s\nerr: %s", code, c.code, out, complaints)
			}
			if strings.Count(complaints, "\n") != 1 {
				t.Errorf("more than a line:\n%s", complaints)
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, complaints := mcpnet("completion", shell); code != exitOK || !strings.Contains(out, "mcpnet") || complaints != "" {
			t.Errorf("%s: %d %s", shell, code, complaints)
		}
	}
	if code, out, _ := mcpnet("__complete", "install", "--n"); code != exitOK || !strings.Contains(out, "--netavark\t") {
		t.Errorf("%d %s", code, out)
	}
	for typed, want := range map[string]string{"c": "containerd\ncrio\n", "docker,p": "docker,podman\n"} {
		if code, out, _ := mcpnet("__complete", "install", "--runtime", typed); code != exitOK || !strings.HasPrefix(out, want) {
			t.Errorf("%s: %d %s", typed, code, out)
		}
	}
	if code, _, complaints := mcpnet("completion", "tcsh"); code != exitUsage || !strings.Contains(complaints, "tcsh") {
		t.Errorf("%d %s", code, complaints)
	}
}
