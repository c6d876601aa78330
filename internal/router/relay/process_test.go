package relay_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/router/relay"
)

// childEnv makes the test binary a process that is a relay and nothing else.
const childEnv = "RELAY_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if err := child(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// unprivileged makes the process one of a user who may do nothing, and who may still read its own state.
func unprivileged() error {
	const nobody = 65534
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody),
		unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
}

// child relays until its input ends, without any privilege. It answers each line with its state.
func child() error {
	if err := unprivileged(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	listener, err := relay.Listen(ctx, netip.MustParseAddrPort("0.0.0.0:15001"))
	if err != nil {
		return err
	}
	config := relay.Config{Listener: listener, Limits: relay.Limits{ConnectionsPerServer: 1 << 14},
		Owner: func(_ netip.Addr, original netip.AddrPort) (relay.Target, bool) {
			return relay.Target{Name: api, Addr: netip.AddrPortFrom(cloudAddr, original.Port())}, original.Addr() == apiAddr
		}}
	done := make(chan error)
	go func() { done <- relay.New(config).Serve(ctx) }()
	if err := tell(os.Stdin, os.Stdout); err != nil {
		return err
	}
	cancel()
	return <-done
}

// tell writes the state once, and again for each line.
func tell(in io.Reader, out io.Writer) error {
	for lines, more := bufio.NewScanner(in), true; more; more = lines.Scan() {
		s, err := stateOfProcess()
		if err := errors.Join(err, json.NewEncoder(out).Encode(s)); err != nil {
			return err
		}
	}
	return nil
}

// state is what a relay takes.
type state struct {
	Goroutines, Sockets, Pipes int
	Memory                     uint64 // of Go's heap and stacks
	CPU                        time.Duration
	Copied                     int // bytes that passed through the process's own memory
}

func stateOfProcess() (state, error) {
	debug.FreeOSMemory() // collects garbage first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s := state{Goroutines: runtime.NumGoroutine(), Memory: m.HeapInuse + m.StackInuse}
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return s, err
	}
	s.CPU = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	fds, err := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		to, _ := os.Readlink(fd)
		if strings.HasPrefix(to, "socket:") {
			s.Sockets++
		} else if strings.HasPrefix(to, "pipe:") {
			s.Pipes++
		}
	}
	counters, failed := os.ReadFile("/proc/self/io")
	_, failedToo := fmt.Sscanf(string(counters), "rchar: %d", &s.Copied)
	return s, errors.Join(err, failed, failedToo)
}

// process is a relay in a process of its own, in the router's namespace.
type process struct {
	t     testing.TB
	order io.Writer
	say   *json.Decoder
}

// newProcess makes a world whose relay is a process of its own.
func newProcess(t testing.TB) (*world, *process) {
	t.Helper()
	w := newWorld(t, nil)
	w.stop()
	cmd := w.router.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=yes")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	out, failed := cmd.StdoutPipe()
	if err := errors.Join(err, failed, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	p := &process{t: t, order: in, say: json.NewDecoder(out)}
	p.read() // it listens now
	return w, p
}

// state asks the process for its state.
func (p *process) state() state {
	p.t.Helper()
	if _, err := io.WriteString(p.order, "\n"); err != nil {
		p.t.Fatal(err)
	}
	return p.read()
}

func (p *process) read() (s state) {
	p.t.Helper()
	if err := p.say.Decode(&s); err != nil {
		p.t.Fatal(err)
	}
	return s
}
