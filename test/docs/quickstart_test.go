package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// quickStart is the heading of the README's part that the test runs.
const quickStart = "Quick start"

// TestQuickStart runs the README's quick start as it is written, line by line, in an engine that has nothing of
// mcpnet's. What a line is to print stands behind it, or in the block of text that follows.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	h := newReader(t)
	for message, command := range engines {
		if out, err := h.exec(command); err == nil || !strings.Contains(out, message) {
			t.Errorf("%s\n%s (%v), and docs/troubleshooting.md says %q", command, out, err, message)
		}
	}
	ran := 0
	last := ""
	blocks, _ := readPage(t, "README.md").split()
	for _, b := range blocks {
		switch {
		case b.section != quickStart:
		case b.language == "sh":
			for _, command := range b.commands() {
				last = h.run(t, command)
				ran++
			}
		case b.language == "text":
			for _, command := range recipe(t, "docs/operations.md", "Looking", "sh") {
				h.run(t, command)
			}
			if diff := cmp.Diff(normal(b.text()), normal(last)); diff != "" {
				t.Errorf("README.md:%d shows another output (-shown +printed):\n%s\nas it was printed:\n%s", b.line, diff, last)
			}
		}
	}
	if ran < 8 {
		t.Errorf("the quick start has %d lines", ran)
	}
	if left, err := h.Exec("ip", "netns"); err != nil || left != "" {
		t.Errorf("left behind: %s %v", left, err)
	}
}

// reader is somebody who does what the README says.
type reader struct {
	*testengine.Engine
	install func(command string) (string, error)
}

// newReader has Docker and the sources. The images are there: no registry is asked.
func newReader(t *testing.T) *reader {
	t.Helper()
	world := testnet.NewWorld(t)
	sources := copySources(t)
	e := testengine.Start(t, testengine.Options{Version: "28.5", NetNS: world.Host.Path(), Binds: []string{sources},
		ResolvConf: "nameserver " + testnet.Resolver.String() + "\n",
		Programs:   map[string]string{"/usr/local/bin/systemctl": script(t, "systemctl", systemctl)}})
	r := &reader{e, maker(t, e, sources)}
	r.importImages()
	return r
}

// importImages makes the images that pages name.
func (r *reader) importImages() {
	const serves = "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
	// A server of standard input ends with it; any other one stays.
	const waits = "case $(readlink /proc/$$/fd/0) in /dev/null) exec sleep 1000;; esac; exec cat"
	r.Import("busybox")
	for name, program := range map[string]string{"my-gateway": serves, "ubuntu/squid": serves, "my-server": waits} {
		r.ImportImage(testengine.Image{Tag: name, Changes: []string{fmt.Sprintf("CMD [\"sh\", \"-c\", %q]", program)}})
	}
}

// systemctl stands in for that of a host with systemd, which a sandbox is not.
const systemctl = `#!/bin/sh
[ "$*" = "reload docker" ] || { echo "systemctl $*: not here" >&2; exit 1; }
kill -HUP "$(cat /run/docker.pid)"
`

func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// copySources copies the module: `make` writes into the tree that it builds.
func copySources(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, root))
		switch {
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "build"):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// maker runs `make` on the machine, where Go is. The sandbox's file tree is what it installs into, and `docker` is the
// sandbox's.
func maker(t *testing.T, e *testengine.Engine, sources string) func(string) (string, error) {
	t.Helper()
	tree := e.Path("/")
	pid := strings.Split(strings.TrimPrefix(tree, "/proc/"), "/")[0]
	docker := script(t, "docker", fmt.Sprintf("#!/bin/sh\nexec nsenter --target %s --mount --pid --net --ipc -- "+
		"sh -c 'cd \"$0\" && exec docker \"$@\"' \"$PWD\" \"$@\"\n", pid))
	return func(command string) (string, error) {
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = sources
		cmd.Env = append(os.Environ(), "DESTDIR="+tree, "PATH="+filepath.Dir(docker)+":"+os.Getenv("PATH"), "GOFLAGS=-buildvcs=false")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

// run does what one line says, and checks what stands behind it.
func (r *reader) run(t *testing.T, command string) string {
	t.Helper()
	began := time.Now()
	_, want, expects := strings.Cut(command, "# → ")
	out, err := r.exec(command)
	t.Logf("%s\n(%v)\n%s", command, time.Since(began).Round(time.Millisecond), out)
	switch {
	case expects && !strings.Contains(out, want):
		t.Errorf("%s\nprinted %q (%v), want %q", command, out, err, want)
	case !expects && err != nil:
		t.Fatalf("%s\n%v\n%s", command, err, out)
	}
	return out
}

func (r *reader) exec(command string) (string, error) {
	switch {
	case strings.HasPrefix(command, "make "):
		return r.install(command)
	case command == "systemctl restart docker":
		r.Restart()
		r.importImages() // an engine with other settings may keep its data elsewhere
		return "", nil
	}
	return r.Exec("sh", "-c", "exec 2>&1\n"+command)
}

// changing are what differs from one run to the next, and what stands for it.
var changing = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`mcpnet \S+ \(`), "mcpnet VERSION ("},
	{regexp.MustCompile(`mcpw[0-9a-f]{11}`), "mcpw-WIRE"},
	{regexp.MustCompile(`(?m)(mcpw-WIRE\s+)\d+\s+\d+`), "${1}N N"},
	{regexp.MustCompile(`(?m)^(\s+\S+/\S+\s+)\d+\s+\d+$`), "${1}N N"},
	{regexp.MustCompile(`[ \t]+`), " "},
	{regexp.MustCompile(`(?m) $`), ""},
}

// normal is an output without what differs from one run to the next.
func normal(out string) string {
	for _, c := range changing {
		out = c.pattern.ReplaceAllString(out, c.stands)
	}
	return strings.TrimSpace(out)
}
