package install

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/install/part"
)

// TestRuntimeRefused: what cannot be edited is named with the remedy, and nothing is changed, not even for other
// engines.
func TestRuntimeRefused(t *testing.T) {
	const cri2, cri3 = `plugins."io.containerd.grpc.v1.cri".containerd`, `plugins."io.containerd.cri.v1.runtime".containerd`
	for name, c := range map[string]struct {
		path, text string
		setDefault bool
		want       string
	}{
		"no JSON":          {dockerPath, `{"debug": tru}`, false, dockerPath + " is not valid JSON"},
		"comments":         {dockerPath, "{// x\n}", false, "comments or trailing commas"},
		"trailing comma":   {dockerPath, `{"a": 1,}`, false, "comments or trailing commas"},
		"list":             {dockerPath, `[]`, false, "is not a JSON object"},
		"twice":            {dockerPath, `{"runtimes": {}, "runtimes": {}}`, false, `has the key "runtimes" twice`},
		"runtimes":         {dockerPath, `{"runtimes": ["x"]}`, false, `has a key runtimes that is not an object but ["x"]`},
		"another's":        {dockerPath, `{"runtimes": {"mcpnet": {"path": "/x"}}}`, false, "has a key runtimes.mcpnet that is not mcpnet's"},
		"arguments":        {dockerPath, `{"runtimes": {"mcpnet": {"path": "` + part.RuntimePath + `", "runtimeArgs": ["x"]}}}`, false, "--force"},
		"docker default":   {dockerPath, `{"default-runtime": "nvidia"}`, true, `sets default-runtime to "nvidia"`},
		"no TOML":          {containerdPath, "version = \n", false, containerdPath + " is not valid TOML (line 1"},
		"version 1":        {containerdPath, `disabled_plugins = ["cri"]`, false, "is of version 1, mcpnet edits 2 and 3"},
		"version 4":        {containerdPath, "version = 4", false, "is of version 4"},
		"tables":           {containerdPath, "version = 2\n[" + cri2 + ".runtimes.mcpnet]\n", false, "mcpnet did not write: remove it"},
		"inline":           {containerdPath, "version = 2\n" + cri2 + ".runtimes = {runc = {}}\n", false, "write inline tables and dotted keys as tables"},
		"default":          {containerdPath, "version = 2\n[" + cri2 + "]\ndefault_runtime_name = \"runc\"\n", true, `sets ` + cri2 + `.default_runtime_name to "runc"`},
		"default in 3":     {containerdPath, "version = 3\n[" + cri3 + "]\ndefault_runtime_name = \"nvidia\"\n", true, `default_runtime_name to "nvidia"`},
		"imports":          {containerdPath, "version = 3\nimports = \"x\"\n", false, "imports that are not a list"},
		"imports of the 2": {containerdPath, "version = 2\nimports = [\"other.toml\"]\n", false, "imports /etc/containerd/other.toml, which has settings of the CRI"},
		"drop-in":          {crioPath, "", false, crioPath + " is not mcpnet's"},
		"drop-in, podman":  {podmanPath, "x", false, podmanPath + " is not mcpnet's"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runtimeRequest(t, map[string]string{"/etc/containerd/other.toml": "version = 2\n[" + cri2 + "]\n", c.path: c.text}, Engines...)
			if c.path != containerdPath {
				write(t, filepath.Join(r.Root, containerdPath), version2, 0o644)
			}
			r.SetDefault = c.setDefault
			before := contents(t, r.Root)
			_, err := Install(r)
			var refused Refused
			if !errors.As(err, &refused) || len(refused.Reasons) != 1 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			same(t, "refused", contents(t, r.Root), before)
		})
	}
}

func TestRuntimeLinkIsRefused(t *testing.T) {
	r := runtimeRequest(t, map[string]string{"/etc/docker/other.json": "{}"}, part.Docker)
	check(t, os.Symlink("other.json", filepath.Join(r.Root, dockerPath)))
	r.Force = true
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
		t.Errorf("%v", err)
	}
}

// TestRuntimeUnknownImports: containerd 2.2 reads drop-ins by itself, as long as there is no config.toml.
func TestRuntimeUnknownImports(t *testing.T) {
	r := runtimeRequest(t, map[string]string{"/etc/containerd/conf.d/10-mine.toml": "version = 3\n"}, part.Containerd)
	if _, err := Install(r); err == nil || !strings.Contains(err.Error(), "containerd config default") {
		t.Errorf("%v", err)
	}
}

// TestRuntimeImportsAreAsked: what an import says of the default runtime holds for ours, too.
func TestRuntimeImportsAreAsked(t *testing.T) {
	r := runtimeRequest(t, map[string]string{
		containerdPath:                        "version = 3\nimports = ['/etc/containerd/conf.d/*.toml']\n",
		"/etc/containerd/conf.d/50-mine.toml": version3,
	}, part.Containerd)
	mustInstall(t, r)
	if text := read(t, r, containerdDropin); strings.Count(text, "SystemdCgroup = true") != 2 {
		t.Error(text)
	}
}

func TestRuntimeUsage(t *testing.T) {
	for name, c := range map[string]struct {
		r    Request
		want string
	}{
		"unknown engine":      {Request{Root: "/", Engines: []Engine{"lxc"}}, `--runtime "lxc" is no engine`},
		"default of none":     {Request{Root: "/", Parts: []Part{CNI}, SetDefault: true}, "--set-default goes with --runtime"},
		"hooks of another":    {Request{Root: "/", Engines: []Engine{part.CRIO}, Hooks: true}, "--hooks goes with --runtime podman"},
		"one for two sources": {Request{Root: "/tmp", Parts: []Part{CNI}, Engines: []Engine{part.CRIO}, Binary: "/bin/true"}, "holds both"},
	} {
		_, err := Install(c.r)
		var usage UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
