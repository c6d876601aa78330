// Package testengine runs real engines for tests, each shut off from the machine
// it runs on: Docker (Engine), containerd by itself (Containerd) and Podman.
//
// An engine lives in a sandbox: the file tree of a Debian that holds it (made by
// scripts/engine-tree.sh) under an overlay whose upper half is a tmpfs, a mount
// and a PID namespace of its own, and the network namespace that the test names.
// /run, /var/lib/docker and everything else the engine writes is memory of that
// sandbox. Its first process ends when the test does, however that ends, and the
// kernel then takes the engine, its containers and its mounts with it; all that
// can remain is an empty cgroup, which the next Start removes.
//
// Paths are the usual ones: Docker's socket is /run/docker.sock and its alias
// directory /run/docker/plugins, CNI plugins are in /opt/cni/bin, so that a
// plugin meets what it meets in the field.
package testengine

import (
	"context"
	"maps"
	"time"

	"github.com/moby/moby/client"
)

// T is what an engine needs of a test. *testing.T is one; so is the session of
// test/demo.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Options says which engine to run and where. The zero value of every field but
// Version and NetNS is a sensible default.
type Options struct {
	// Version is a key of Versions: "20.10", "28.5", "29", or "29-nftables" for
	// its nftables backend.
	Version string
	// NetNS is the path of the network namespace the engine serves.
	NetNS string
	// ResolvConf is the host's /etc/resolv.conf as engine and containers see
	// it. Empty means no name server at all.
	ResolvConf string
	// Binds are directories of the machine that appear in the sandbox, read
	// only, under the same path.
	Binds []string
	// DaemonJSON is the content of /etc/docker/daemon.json.
	DaemonJSON string
	// Programs are executables of the sandbox by their path, each copied from the
	// file of the machine that the value names.
	Programs map[string]string
	// Files are further files of the sandbox by their path.
	Files map[string]string
	// ExtraArgs are passed to dockerd after the package's own.
	ExtraArgs []string
}

// Engine is one running dockerd. Its methods may be used from one goroutine at
// a time.
type Engine struct {
	t       T
	opts    Options
	sandbox *sandbox
	client  *client.Client
	daemon  daemon
}

// Start runs an engine and waits until it answers. The test fails when that
// cannot be done. The engine ends with the test.
func Start(t T, opts Options) *Engine {
	t.Helper()
	release{"docker", opts.Version}.need(t)
	e, err := start(t, opts)
	if err != nil {
		t.Fatalf("docker %s: %v", opts.Version, err)
	}
	return e
}

func start(t T, opts Options) (*Engine, error) {
	tree, err := Tree(opts.Version)
	if err != nil {
		return nil, err
	}
	sweepCgroups()
	files := map[string]string{
		"/etc/resolv.conf":        opts.ResolvConf,
		"/etc/hosts":              "127.0.0.1 localhost\n",
		"/etc/docker/daemon.json": orElse(opts.DaemonJSON, "{}\n"),
	}
	maps.Copy(files, opts.Files)
	box, err := openSandbox(sandboxConfig{
		Tree: tree, Binds: opts.Binds, Tmpfs: []string{"/var/lib/docker"}, Programs: opts.Programs, Files: files,
	}, opts.NetNS)
	if err != nil {
		return nil, err
	}
	e := &Engine{t: t, opts: opts, sandbox: box, daemon: daemon{name: "dockerd"}}
	t.Cleanup(e.close)
	e.client, err = client.New(client.WithHost("unix://" + e.Socket()))
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := e.run(); err != nil {
		return nil, err
	}
	t.Logf("docker %s: answers after %v", e.version(), time.Since(began).Round(10*time.Millisecond))
	return e, nil
}

// version asks the engine which release it is; a tree of a rolling Debian may
// hold a later one than its name says.
func (e *Engine) version() string {
	v, err := e.client.ServerVersion(context.Background(), client.ServerVersionOptions{})
	if err != nil {
		return err.Error()
	}
	return v.Version
}

// Socket is the path, on the machine, of the engine's API socket.
func (e *Engine) Socket() string { return e.Path("/run/docker.sock") }

// Client is a Docker API client of the engine.
func (e *Engine) Client() *client.Client { return e.client }

// Path is where the machine finds a file of the sandbox. The path must not lead
// over an absolute symbolic link (/var/run is one): those lead out again.
func (e *Engine) Path(inside string) string { return e.sandbox.path(inside) }

// close ends everything there is of the engine.
func (e *Engine) close() {
	if e.client != nil {
		e.client.Close()
	}
	// The containers end with the sandbox; to stop them one by one takes ten
	// seconds for each that ignores SIGTERM.
	e.Kill()
	if err := e.sandbox.close(); err != nil {
		e.t.Logf("docker %s: %v", e.opts.Version, err)
	}
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
