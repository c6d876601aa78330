package testengine

import (
	"io"
	"maps"
	"time"
)

// Host says where a Containerd or a Podman runs and what lies in its file tree
// beside the engine itself. Only NetNS has to be given.
type Host struct {
	// NetNS is the path of the network namespace the engine serves.
	NetNS string
	// ResolvConf is the host's /etc/resolv.conf as engine and containers see
	// it. Empty means no name server at all.
	ResolvConf string
	// Binds are directories of the machine that appear in the sandbox, read
	// only, under the same path.
	Binds []string
	// Files are files of the sandbox by their path, such as the conflists of CNI
	// and drop-ins of containers.conf. They replace the package's own.
	Files map[string]string
	// Programs are executables of the sandbox by their path; each is copied from
	// the file of the machine that the value names and must need no library that
	// the tree does not have.
	Programs map[string]string
}

// guest is what Containerd and Podman share: a release of an engine, in a
// sandbox that ends with the test.
type guest struct {
	t       T
	release release
	sandbox *sandbox
}

// openGuest makes the sandbox for the release. The engine's own files come from
// the caller and storage is where it keeps images and containers.
func openGuest(t T, r release, host Host, files map[string]string, storage string) *guest {
	t.Helper()
	r.need(t)
	tree, err := r.tree()
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	sweepCgroups()
	all := map[string]string{"/etc/resolv.conf": host.ResolvConf, "/etc/hosts": "127.0.0.1 localhost\n"}
	maps.Copy(all, files)
	maps.Copy(all, host.Files)
	box, err := openSandbox(sandboxConfig{
		Tree: tree, Binds: host.Binds, Files: all, Programs: host.Programs, Tmpfs: []string{storage},
	}, host.NetNS)
	if err != nil {
		t.Fatalf("%v: %v", r, err)
	}
	g := &guest{t: t, release: r, sandbox: box}
	t.Cleanup(g.close)
	return g
}

// Path is where the machine finds a file of the sandbox. The path must not lead
// over an absolute symbolic link (/var/run is one): those lead out again.
func (g *guest) Path(inside string) string { return g.sandbox.path(inside) }

// Exec runs a program of the engine's tree in the sandbox and returns what it
// prints, without the last newline. The error carries what it says on stderr.
func (g *guest) Exec(name string, args ...string) (string, error) {
	return g.feed(nil, name, args...)
}

// feed is Exec with a standard input.
func (g *guest) feed(stdin io.Reader, name string, args ...string) (string, error) {
	cmd := g.sandbox.command(name, args...)
	cmd.Stdin = stdin
	return capture(cmd, name, args)
}

// netNS is the path, on the machine, of the network namespace of a process that
// has this number in the sandbox.
func (g *guest) netNS(pid string) string { return g.Path("/proc/" + pid + "/ns/net") }

// ready logs how long it took the engine to be of use.
func (g *guest) ready(version string, began time.Time) {
	g.t.Logf("%s %s: answers after %v", g.release.engine, version, time.Since(began).Round(10*time.Millisecond))
}

// close ends everything there is of the engine.
func (g *guest) close() {
	if err := g.sandbox.close(); err != nil {
		g.t.Logf("%v: %v", g.release, err)
	}
}

// must ends the test when there is an error.
func (g *guest) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatalf("%v: %v", g.release, err)
	}
}
