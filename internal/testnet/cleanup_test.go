package testnet

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv makes the test binary a process that leaves a namespace behind.
const childEnv = "TESTNET_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "":
		os.Exit(m.Run())
	case "program":
		_ = RunProgram("child", os.Stderr, func(ctx context.Context, p *Program) {
			leaveBehind(p)
			<-ctx.Done()
		})
	default:
		p := &Program{name: "child", log: os.Stderr}
		leaveBehind(p)
		time.Sleep(time.Minute)
	}
}

func leaveBehind(p *Program) {
	n := New(p, "child")
	if err := n.Command("sleep", "60").Start(); err != nil {
		p.Fatalf("%v", err)
	}
	os.Stdout.WriteString("ready\n")
}

// child starts a process with a namespace, ends it with a signal, and gives
// the pattern of the files that it made.
func child(t *testing.T, kind string, sig syscall.Signal) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+kind)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	pattern := filepath.Join(Dir, prefix+strconv.Itoa(cmd.Process.Pid)+"-*")
	if left := matches(pattern); len(left) != 1 {
		t.Fatalf("the child has %v", left)
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return pattern
}

func matches(pattern string) []string {
	files, _ := filepath.Glob(pattern)
	return files
}

func TestInterruptRemovesNamespaces(t *testing.T) {
	for _, kind := range []string{"plain", "program"} {
		if left := matches(child(t, kind, syscall.SIGINT)); len(left) > 0 {
			t.Errorf("%s: left after an interrupt: %v", kind, left)
		}
	}
}

func TestSweepRemovesWhatTheDeadLeft(t *testing.T) {
	pattern := child(t, "plain", syscall.SIGKILL)
	if len(matches(pattern)) != 1 {
		t.Fatal("a killed process left nothing, so this test tests nothing")
	}
	sweep()
	if left := matches(pattern); len(left) > 0 {
		t.Errorf("left after the sweep: %v", left)
	}
}

func TestProgramClearsUp(t *testing.T) {
	var path string
	var log bytes.Buffer
	err := RunProgram("demo", &log, func(_ context.Context, p *Program) {
		path = New(p, "demo").Path()
		p.Fatalf("broken: %s", "on purpose")
	})
	if err == nil || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", path, err)
	}
}
