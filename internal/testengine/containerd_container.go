package testengine

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Container is a container of a Containerd, made by `ctr` or in a Pod.
type Container struct {
	ID        string
	namespace string
	engine    *Containerd
	execs     int
}

// Exec runs a program in the container and returns what it prints, without the
// last newline.
func (x *Container) Exec(args ...string) (string, error) {
	if x.namespace == criNamespace {
		return x.engine.execSync(x.ID, args)
	}
	x.execs++
	return x.ctr(append([]string{"task", "exec", "--exec-id", "test-" + strconv.Itoa(x.execs), x.ID}, args...)...)
}

// MustExec is Exec for a test that cannot go on without it.
func (x *Container) MustExec(args ...string) string {
	x.engine.t.Helper()
	out, err := x.Exec(args...)
	x.engine.must(err)
	return out
}

// PID is the container's first process as the sandbox counts.
func (x *Container) PID() string {
	x.engine.t.Helper()
	tasks, err := x.ctr("task", "ls")
	x.engine.must(err)
	// TASK PID STATUS
	for line := range strings.Lines(tasks) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == x.ID && f[2] == "RUNNING" {
			return f[1]
		}
	}
	x.engine.t.Fatalf("%v: container %s does not run:\n%s", x.engine.release, x.ID, tasks)
	return ""
}

// NetNS is the path, on the machine, of the container's network namespace.
func (x *Container) NetNS() string {
	x.engine.t.Helper()
	return x.engine.netNS(x.PID())
}

// Remove kills the container and removes it. The ctr of containerd 2 detaches it
// from its CNI network with that; the one of 1.6 never does, and the plugin hears
// no DEL. A container of a Pod goes with the Pod instead.
func (x *Container) Remove() error {
	if x.namespace == criNamespace {
		return fmt.Errorf("container %s is of a pod: remove that", x.ID)
	}
	if _, err := x.ctr("task", "kill", "--signal", "KILL", x.ID); err != nil {
		return err
	}
	// The end of the task is noticed a moment after the signal.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := x.ctr("task", "delete", x.ID)
		if err == nil || strings.Contains(err.Error(), "not found") {
			break
		}
		if time.Now().After(deadline) {
			return err
		}
	}
	_, err := x.ctr("container", "delete", x.ID)
	return err
}

func (x *Container) ctr(args ...string) (string, error) {
	return x.engine.Exec("ctr", append([]string{"-n", x.namespace}, args...)...)
}
