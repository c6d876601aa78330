package testengine

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/moby/client"
)

// run starts dockerd in the sandbox and waits until it answers.
func (e *Engine) run() error {
	args := []string{"--cgroup-parent=/" + e.sandbox.cgroup(), "--exec-opt=native.cgroupdriver=cgroupfs"}
	if strings.HasSuffix(e.opts.Version, nftablesBackend) {
		args = append(args, "--firewall-backend=nftables")
	}
	args = append(args, e.opts.ExtraArgs...)
	return e.daemon.run(e.sandbox.command("dockerd", args...), func(ctx context.Context) error {
		_, err := e.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
		return err
	})
}

// Stop ends dockerd as a service manager would: SIGTERM, then time to stop its
// containers and plugins. The sandbox and what the engine stored stay.
func (e *Engine) Stop() {
	if e.daemon.end(syscall.SIGTERM) {
		e.t.Logf("docker %s: dockerd did not end and was killed", e.opts.Version)
	}
}

// Kill ends dockerd as the OOM killer would. Containers run on.
func (e *Engine) Kill() { e.daemon.end(syscall.SIGKILL) }

// Restart is Stop, unless the engine has ended already, and a new start. The
// test fails when the engine does not come back.
func (e *Engine) Restart() {
	e.t.Helper()
	e.Stop()
	if err := e.run(); err != nil {
		e.t.Fatalf("docker %s: restart: %v", e.opts.Version, err)
	}
}

// Logs is everything dockerd, and through it each plugin, has printed so far.
func (e *Engine) Logs() string { return e.daemon.logs.String() }

// Docker runs the docker command of the engine's tree and returns what it
// prints, without the last newline. The error carries what it says on stderr.
func (e *Engine) Docker(args ...string) (string, error) {
	return e.Exec("docker", args...)
}

// MustDocker is Docker for a test that cannot go on without it.
func (e *Engine) MustDocker(args ...string) string {
	e.t.Helper()
	out, err := e.Docker(args...)
	if err != nil {
		e.t.Fatalf("%v", err)
	}
	return out
}

// Exec runs a program of the engine's tree in the sandbox, as Docker does.
func (e *Engine) Exec(name string, args ...string) (string, error) {
	return capture(e.command(name, args...), name, args)
}

// ContainerNetNS is the path, on the machine, of a running container's network
// namespace.
func (e *Engine) ContainerNetNS(name string) string {
	e.t.Helper()
	key := e.MustDocker("inspect", "--format", "{{.NetworkSettings.SandboxKey}}", name)
	if key == "" {
		e.t.Fatalf("container %s has no network namespace", name)
	}
	// /var/run is an absolute link: it would lead to the machine's /run.
	return e.Path(filepath.Join("/run/docker/netns", filepath.Base(key)))
}
