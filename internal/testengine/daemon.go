package testengine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

// stopLimit bounds an orderly stop: dockerd gives containers ten seconds and
// plugins ten more.
const stopLimit = time.Minute

// run starts dockerd in the sandbox and waits until it answers.
func (e *Engine) run() error {
	args := append([]string{
		"--cgroup-parent=/" + cgroupName(os.Getpid()),
		"--exec-opt=native.cgroupdriver=cgroupfs",
	}, e.opts.ExtraArgs...)
	cmd := e.sandbox.command("dockerd", args...)
	cmd.Stdout, cmd.Stderr = &e.logs, &e.logs
	// A killed dockerd leaves children that still hold its output.
	cmd.WaitDelay = 200 * time.Millisecond
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	e.mu.Lock()
	e.daemon, e.exited = cmd, exited
	e.mu.Unlock()
	return e.awaitAnswer()
}

func (e *Engine) awaitAnswer() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		if _, err := e.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err == nil {
			return nil
		}
		select {
		case <-e.exited:
			return fmt.Errorf("dockerd ended:\n%s", e.logs.tail(25))
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer:\n%s", e.logs.tail(25))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends dockerd as a service manager would: SIGTERM, then time to stop its
// containers and plugins. The sandbox and what the engine stored stay.
func (e *Engine) Stop() { e.end(syscall.SIGTERM) }

// Kill ends dockerd as the OOM killer would. Containers run on.
func (e *Engine) Kill() { e.end(syscall.SIGKILL) }

// Restart is Stop, unless the engine has ended already, and a new start. The
// test fails when the engine does not come back.
func (e *Engine) Restart() {
	e.t.Helper()
	e.Stop()
	if err := e.run(); err != nil {
		e.t.Fatalf("docker %s: restart: %v", e.opts.Version, err)
	}
}

// end sends the signal to dockerd and waits for its end.
func (e *Engine) end(signal syscall.Signal) {
	e.mu.Lock()
	cmd, exited := e.daemon, e.exited
	e.daemon = nil
	e.mu.Unlock()
	if cmd == nil {
		return
	}
	signalChildren(cmd.Process.Pid, signal)
	select {
	case <-exited:
	case <-time.After(stopLimit):
		e.t.Logf("docker %s: dockerd does not end, killing it", e.opts.Version)
		signalChildren(cmd.Process.Pid, syscall.SIGKILL)
		<-exited
	}
}

// Docker runs the docker command of the engine's tree and returns what it
// prints, without the last newline. The error carries what it says on stderr.
func (e *Engine) Docker(args ...string) (string, error) {
	return e.Exec("docker", args...)
}

// Exec runs a program of the engine's tree in the sandbox, as Docker does.
func (e *Engine) Exec(name string, args ...string) (string, error) {
	cmd := e.command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimRight(stdout.String(), "\n"), err
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

// logBuffer collects the output of dockerd over all its lives.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends to the log.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is the log so far.
func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// tail is the last n lines of the log.
func (l *logBuffer) tail(n int) string {
	lines := strings.Split(strings.TrimRight(l.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// signalChildren signals the child processes of a process. The one we started is
// nsenter, which passes no signal on; dockerd is its only child.
func signalChildren(pid int, signal syscall.Signal) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return // it has ended
	}
	for _, field := range strings.Fields(string(data)) {
		if child, err := strconv.Atoi(field); err == nil {
			syscall.Kill(child, signal)
		}
	}
}
