package engines_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcpnet/mcpnet/internal/testengine"
)

// checkHandMade: what a bundle shows of the host in ways that no engine uses is refused. The control: the real runtimes
// show it. The bundle runs a program in a root file system.
func checkHandMade(t *testing.T, p *testengine.Podman, root string) {
	const marker = "a file of the host"
	write(t, p, "/etc/marker", marker)
	must(t, p, "sh", "-c", "mkdir /all && mount --bind / /all")
	bind := func(source string) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp", Type: "bind", Source: source, Options: []string{"bind", "ro"}})
		}
	}
	for what, tt := range map[string]struct {
		real   string
		change func(*specs.Spec)
		says   string
	}{
		"root":     {"/usr/sbin/runc", func(s *specs.Spec) { s.Root.Path = "/all" }, "all of the host's files"},
		"relative": {"/usr/sbin/runc", bind("../../etc"), "write the whole path"},
		"NUL":      {"/usr/bin/crun", bind("/etc\x00/nowhere"), "holds a NUL"},
	} {
		write(t, p, "/etc/mcpnet/runtime.json", fmt.Sprintf(`{"runtime": %q}`, tt.real))
		dir := "/bundles/" + what
		must(t, p, "sh", "-c", `mkdir -p "$0" && cd "$0" && runc spec`, dir)
		s := bundleAt(t, p, dir)
		s.Root.Path, s.Process.Terminal, s.Process.Args = root, false, []string{"sh", "-c", "cat /tmp/marker /etc/marker; true"}
		s.Linux.CgroupsPath = strings.TrimSpace(must(t, p, "sh", "-c", `echo "$MCPNET_TEST_CGROUP"`)) + "/" + what
		put := func() {
			text, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			write(t, p, dir+"/config.json", string(text))
		}
		put()
		if out, err := runBundle(p, runtimePath, dir, "plain-"+what); err != nil || strings.Contains(out, marker) {
			t.Errorf("%s: as it should be: %v: %s", what, err, out)
		}
		tt.change(&s)
		put()
		if out, err := runBundle(p, tt.real, dir, "control-"+what); err != nil || !strings.Contains(out, marker) {
			t.Errorf("%s: %s does not show the host's file: this shows nothing: %v: %s", what, tt.real, err, out)
		}
		if out, err := runBundle(p, runtimePath, dir, "hard-"+what); err == nil || !strings.Contains(err.Error()+out, tt.says) {
			t.Errorf("%s: %v: %s, want %q", what, err, out, tt.says)
		}
	}
}

func bundleAt(t *testing.T, p *testengine.Podman, dir string) (s specs.Spec) {
	t.Helper()
	if err := json.Unmarshal([]byte(must(t, p, "cat", dir+"/config.json")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// runBundle runs a bundle as podmanAs does, for crun.
func runBundle(p *testengine.Podman, runtime, dir, id string) (string, error) {
	return p.Exec("unshare", "--mount", "sh", "-c", alone+` exec "$@"`, "sh", runtime, "run", "--bundle", dir, id)
}
