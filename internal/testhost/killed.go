package testhost

import (
	"errors"
	"os/exec"
	"syscall"
	"testing"
)

// Killed runs a program that kills itself on its way, and tells whether it did. One that fails otherwise ends the test.
func Killed(t testing.TB, program *exec.Cmd) bool {
	t.Helper()
	out, err := program.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("the process that is to be killed: %v\n%s", err, out)
	}
	return false
}
