package testengine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// module is the import path below which everything is built.
const module = "github.com/mcpnet/mcpnet"

// GoFile builds a program of this module, named by its directory, as a file of
// an image. It is static: an image has no libraries.
func GoFile(t T, path, dir string) File {
	t.Helper()
	return File{Path: path, Source: goBuild(t, dir)}
}

// GoFileFor is GoFile for another architecture of Go's.
func GoFileFor(t T, arch, path, dir string) File {
	t.Helper()
	return File{Path: path, Source: goBuildFor(t, arch, dir)}
}

// BuildPlugin builds the managed plugin from the sources as they are and returns
// the directory that InstallPlugin takes.
func BuildPlugin(t T) string {
	t.Helper()
	root := ModuleRoot(t)
	dir := tempDir(t)
	config, err := os.ReadFile(filepath.Join(root, "config.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644)
	}
	if err != nil {
		t.Fatalf("plugin: %v", err)
	}
	script := filepath.Join(root, "scripts/plugin-rootfs.sh")
	if _, err := os.Stat(script); err != nil { // the go command notices when it changes
		t.Fatalf("plugin: %v", err)
	}
	binary := goBuild(t, "plugin")
	rootfs := once(t, "rootfs", func(path string) { output(t, exec.Command(script, path, binary)) })
	output(t, exec.Command("cp", "-al", rootfs, filepath.Join(dir, "rootfs")))
	return dir
}

// BuildPluginOf builds the managed plugin of an earlier commit as BuildPlugin does, once: later tests find it in the
// cache. Where the commit is not at hand the test is skipped, as on a machine without engines.
func BuildPluginOf(t T, commit string) string {
	t.Helper()
	made := filepath.Join(cacheDir(), "plugin-"+commit)
	if _, err := os.Stat(filepath.Join(made, "config.json")); err == nil {
		return made
	}
	work, err := os.MkdirTemp(cacheDir(), "plugin-build-")
	if err == nil {
		defer os.RemoveAll(work)
		err = checkOut(ModuleRoot(t), commit, work)
	}
	skipOver(t, "plugin of "+commit, err)
	binary, dir := filepath.Join(work, "mcpnet-plugin"), filepath.Join(work, "made")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", binary, "./plugin")
	build.Dir, build.Env = work, append(os.Environ(), "CGO_ENABLED=0")
	output(t, build)
	output(t, exec.Command(filepath.Join(work, "scripts/plugin-rootfs.sh"), filepath.Join(dir, "rootfs"), binary))
	if err := os.Rename(filepath.Join(work, "config.json"), filepath.Join(dir, "config.json")); err != nil {
		t.Fatalf("plugin of %s: %v", commit, err)
	}
	// Another test may have been faster: what it made is the same.
	if err := os.Rename(dir, made); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTEMPTY) {
		t.Fatalf("plugin of %s: %v", commit, err)
	}
	return made
}

// checkOut writes the files of a commit into a directory. Git does not look into the tree of another user unless it is
// told to.
func checkOut(root, commit, dir string) error {
	const line = `git -c "safe.directory=*" -C "$1" archive --format=tar -o "$3/tree.tar" "$2" &&
tar -x -C "$3" -f "$3/tree.tar"`
	out, err := exec.Command("sh", "-c", line, "sh", root, commit, dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ModuleRoot is the directory of go.mod.
func ModuleRoot(t T) string {
	t.Helper()
	return strings.TrimSpace(output(t, exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module)))
}

func goBuild(t T, dir string) string {
	t.Helper()
	return goBuildFor(t, runtime.GOARCH, dir)
}

func goBuildFor(t T, arch, dir string) string {
	t.Helper()
	return once(t, filepath.Join(arch, dir), func(path string) {
		showSources(t, module+"/"+dir)
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", path, module+"/"+dir)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+arch)
		output(t, cmd)
	})
}

// built is what tests of this process have built.
var built struct {
	sync.Mutex
	dir  string // "" where each test builds for itself
	have map[string]bool
}

// BuildOnce runs a process's tests, of which each program that several need is built once. It gives what run gives. What
// was built goes then.
func BuildOnce(run func() int) int {
	dir, err := os.MkdirTemp("", fmt.Sprintf("mcpnet-test-%d-", os.Getpid()))
	if err != nil {
		return run()
	}
	defer os.RemoveAll(dir)
	built.dir, built.have = dir, map[string]bool{}
	return run()
}

// once has something made at a path, and gives the path: once for a process of BuildOnce, elsewhere for the test.
func once(t T, name string, make func(path string)) string {
	t.Helper()
	if built.dir == "" {
		path := filepath.Join(tempDir(t), filepath.Base(name))
		make(path)
		return path
	}
	built.Lock()
	defer built.Unlock()
	path := filepath.Join(built.dir, name)
	if !built.have[name] {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatalf("%v", err)
		}
		make(path)
		built.have[name] = true
	}
	return path
}

// showSources looks at every directory of the module that a program is made of. The go command keeps the result of a
// test until a file that the test opened is another one, and does not see what a build in a subprocess reads.
func showSources(t T, program string) {
	t.Helper()
	root := ModuleRoot(t)
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}", program)
	for _, dir := range strings.Fields(output(t, list)) {
		if !strings.HasPrefix(dir, root) {
			continue
		}
		if _, err := os.ReadDir(dir); err != nil {
			t.Fatalf("sources of %s: %v", program, err)
		}
	}
}

// tempDir is a directory that goes with the test. Its name tells whose it is, so
// that the next program can remove those of killed ones.
func tempDir(t T) string {
	t.Helper()
	const prefix = "mcpnet-test-"
	sweep(filepath.Join(os.TempDir(), prefix+"*"), prefix, os.RemoveAll)
	dir, err := os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid()))
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// sweep removes what matches the pattern and belongs to a program that has
// ended: its pid follows the prefix in the name.
func sweep(pattern, prefix string, remove func(string) error) {
	found, _ := filepath.Glob(pattern)
	for _, path := range found {
		rest := strings.TrimPrefix(filepath.Base(path), prefix)
		owner, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && unix.Kill(pid, 0) == unix.ESRCH {
			remove(path)
		}
	}
}

// output runs a command that has to succeed.
func output(t T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, stderr.String())
	}
	return string(out)
}
