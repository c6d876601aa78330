package testengine

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

// ContainerdOptions says which containerd to run and where.
type ContainerdOptions struct {
	// Version is a key of ContainerdVersions: "1.6" or "2.1".
	Version string
	Host
	// Handlers are runtime handlers beside "runc", the default one.
	Handlers []Handler
	// Config is the content of /etc/containerd/config.toml; without it the
	// package makes one with the handlers. It must not leave out the CRI.
	Config string
}

// Containerd is one running containerd with its CRI. `ctr` uses its namespace
// "default" and the CRI "k8s.io". Its methods may be used from one goroutine at
// a time.
type Containerd struct {
	*guest
	daemon daemon
	runs   int // containers that ctr made, for the names of their cgroups
}

const (
	ctrNamespace = "default"
	criNamespace = "k8s.io"
)

// StartContainerd runs a containerd and waits until it answers. The test fails
// when that cannot be done. The engine ends with the test.
func StartContainerd(t T, opts ContainerdOptions) *Containerd {
	t.Helper()
	CNITools(t) // for CRI
	files := map[string]string{"/etc/containerd/config.toml": orElse(opts.Config, containerdConfig(opts.Handlers))}
	c := &Containerd{
		guest:  openGuest(t, release{"containerd", opts.Version}, opts.Host, files, "/var/lib/containerd"),
		daemon: daemon{name: "containerd"},
	}
	t.Cleanup(c.Kill)
	began := time.Now()
	c.must(c.run())
	c.ready(c.version(), began)
	c.must(c.importImage(pauseImage, []string{"/bin/sleep", "2147483647"}, nil, criNamespace))
	return c
}

func (c *Containerd) run() error {
	return c.daemon.run(c.sandbox.command("containerd"), func(context.Context) error {
		if _, err := c.Exec("ctr", "--connect-timeout", "1s", "version"); err != nil {
			return err
		}
		// The CRI begins to answer a moment after the rest.
		return c.CRI("Version", nil, nil)
	})
}

func (c *Containerd) version() string {
	out, err := c.Exec("containerd", "--version")
	if err != nil {
		return err.Error()
	}
	// containerd SOURCE VERSION [REVISION]
	if fields := strings.Fields(out); len(fields) > 2 {
		return fields[2]
	}
	return out
}

// Stop ends containerd as a service manager would. Its containers run on, as
// those of the field do: each has a shim of its own.
func (c *Containerd) Stop() {
	if c.daemon.end(syscall.SIGTERM) {
		c.t.Logf("%v: did not end and was killed", c.release)
	}
}

// Kill ends containerd as the OOM killer would. Containers run on.
func (c *Containerd) Kill() { c.daemon.end(syscall.SIGKILL) }

// Restart is Stop, unless containerd has ended already, and a new start. The
// test fails when it does not come back.
func (c *Containerd) Restart() {
	c.t.Helper()
	c.Stop()
	c.must(c.run())
}

// Logs is everything containerd has printed so far.
func (c *Containerd) Logs() string { return c.daemon.logs.String() }

// Import makes an image of busybox and the files for `ctr` and for the CRI, and
// returns its full name: "probe" is localhost/probe:latest.
func (c *Containerd) Import(tag string, files ...File) string {
	c.t.Helper()
	ref := reference(tag)
	c.must(c.importImage(ref, []string{"/bin/sh"}, files, ctrNamespace, criNamespace))
	return ref
}

func (c *Containerd) importImage(ref string, command []string, files []File, namespaces ...string) error {
	for _, namespace := range namespaces {
		archive, err := imageArchive(ref, command, files)
		if err == nil {
			_, err = c.feed(archive, "ctr", "-n", namespace, "image", "import", "-")
		}
		if err != nil {
			return fmt.Errorf("image %s: %w", ref, err)
		}
	}
	return nil
}

// Ctr runs containerd's own command in its namespace "default", as Exec does. A
// container that it runs gets a cgroup that goes with the test.
func (c *Containerd) Ctr(args ...string) (string, error) {
	if len(args) > 0 && args[0] == "run" {
		c.runs++
		cgroup := fmt.Sprintf("--cgroup=/%s/ctr-%d", c.sandbox.cgroup(), c.runs)
		args = append([]string{"run", cgroup}, args[1:]...)
	}
	return c.Exec("ctr", args...)
}

// MustCtr is Ctr for a test that cannot go on without it.
func (c *Containerd) MustCtr(args ...string) string {
	c.t.Helper()
	out, err := c.Ctr(args...)
	c.must(err)
	return out
}

// RunCNI runs a container in the background and has the CNI network of the first
// file in /etc/cni/net.d attached to it: `ctr run -d --cni`. The image is one
// that Import made.
func (c *Containerd) RunCNI(name, image string, args ...string) (*Container, error) {
	_, err := c.Ctr(append([]string{"run", "-d", "--cni", reference(image), name}, args...)...)
	return c.Container(name), err
}

// MustRunCNI is RunCNI for a test that cannot go on without it.
func (c *Containerd) MustRunCNI(name, image string, args ...string) *Container {
	c.t.Helper()
	container, err := c.RunCNI(name, image, args...)
	c.must(err)
	return container
}

// Container is a container that `ctr` made.
func (c *Containerd) Container(name string) *Container {
	return &Container{ID: name, namespace: ctrNamespace, engine: c}
}
