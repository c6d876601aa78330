package ns_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/ns"
)

// childEnv makes the test binary a process with mounts of its own that pins one namespace: "KIND PROPAGATION DIR NAME",
// and for a guest that sees the host's mount table "HOST-DIR TABLE".
const childEnv = "NS_TEST_CHILD"

func TestMain(m *testing.M) {
	if order := os.Getenv(childEnv); order != "" {
		fmt.Println(child(strings.Fields(order)))
		return
	}
	os.Exit(m.Run())
}

// outcomes are what a child says.
const (
	done         = "done"
	private      = "private"
	notPermitted = "not permitted"
)

func child(order []string) string {
	kind, propagation, dir, name := order[0], order[1], order[2], order[3]
	flags := map[string]uintptr{"private": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "as-it-is": 0}[propagation]
	if flags != 0 {
		if err := unix.Mount("", "/", "none", flags|unix.MS_REC, ""); err != nil {
			return err.Error()
		}
	}
	pins := map[string]func(string) ns.Pins{"host": ns.HostPins, "guest": ns.GuestPins, "remove": ns.HostPins,
		"killed": ns.HostPins, "apart": ns.HostPins}[kind](dir)
	if len(order) == 6 {
		pins = pins.As(order[4], order[5])
	}
	switch kind {
	case "remove":
		return outcome(pins.Remove(name, nil))
	case "apart":
		_, err := ns.RunApart(context.Background(), "", "true")
		return outcome(err)
	}
	err := pins.Create(name, func(ns.Handle) error {
		if kind == "killed" {
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			time.Sleep(time.Minute)
		}
		return nil
	})
	if err == nil {
		h, failed := pins.Open(name)
		err = errors.Join(failed, h.Close())
	}
	return outcome(err)
}

func outcome(err error) string {
	switch {
	case err == nil:
		return done
	case errors.Is(err, ns.ErrPrivate):
		return private + ": " + err.Error()
	case errors.Is(err, ns.ErrNotPermitted):
		return notPermitted + ": " + err.Error()
	}
	return "error: " + err.Error()
}

// inMountNamespace runs a child with mounts of its own; wrap is a command in front of it.
func inMountNamespace(t *testing.T, order string, wrap ...string) string {
	t.Helper()
	args := append(wrap, os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childEnv+"="+order)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil && !strings.HasPrefix(order, "killed") {
		t.Fatalf("%s: %v: %s", order, err, out)
	}
	return strings.TrimSpace(string(out))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
