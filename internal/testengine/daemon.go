package testengine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startLimit bounds how long an engine may take until it answers. An engine
	// of which nothing is cached needs about two seconds; CI machines are slow.
	startLimit = 90 * time.Second
	// stopLimit bounds an orderly stop: dockerd gives containers ten seconds and
	// plugins ten more.
	stopLimit = time.Minute
)

// daemon is the process of an engine that has one, over all its lives.
type daemon struct {
	name string
	logs logBuffer

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// run starts the command, made by sandbox.command, and waits until ready says
// that it answers.
func (d *daemon) run(cmd *exec.Cmd, ready func(context.Context) error) error {
	cmd.Stdout, cmd.Stderr = &d.logs, &d.logs
	// A killed daemon leaves children that still hold its output.
	cmd.WaitDelay = 200 * time.Millisecond
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	d.mu.Lock()
	d.cmd, d.exited = cmd, exited
	d.mu.Unlock()
	return d.await(exited, ready)
}

func (d *daemon) await(exited <-chan struct{}, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("%s ended:\n%s", d.name, d.logs.tail(25))
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", d.name, err, d.logs.tail(25))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// end sends the signal to the daemon and waits for its end. It tells whether the
// daemon had to be killed for that.
func (d *daemon) end(signal syscall.Signal) (killed bool) {
	d.mu.Lock()
	cmd, exited := d.cmd, d.exited
	d.cmd = nil
	d.mu.Unlock()
	if cmd == nil {
		return false
	}
	signalChildren(cmd.Process.Pid, signal)
	select {
	case <-exited:
		return false
	case <-time.After(stopLimit):
		signalChildren(cmd.Process.Pid, syscall.SIGKILL)
		<-exited
		return true
	}
}

// logBuffer collects the output of a daemon over all its lives.
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
// nsenter, which passes no signal on; what it runs is its only child.
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
