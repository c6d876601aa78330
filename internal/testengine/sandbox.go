package testengine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// sandbox is the machine's side of a sandbox: its first process, and the pipe
// that keeps that process alive.
type sandbox struct {
	init *exec.Cmd
	hold io.Closer
	pid  string
}

// openSandbox starts a sandbox in the network namespace at the path and returns
// once its file tree stands.
func openSandbox(config sandboxConfig, netNS string) (*sandbox, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{initName}
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
		// Ctrl-C is for the test, which then cleans up in order.
		Setpgid: true,
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startIn(netNS, cmd); err != nil {
		return nil, fmt.Errorf("sandbox: %w", err)
	}
	box := &sandbox{init: cmd, hold: stdin, pid: strconv.Itoa(cmd.Process.Pid)}
	err = box.handshake(config, stdin, stdout)
	if err == nil {
		err = box.checkRoot()
	}
	if err != nil {
		return nil, errors.Join(err, box.close())
	}
	return box, nil
}

// startIn starts the command in the network namespace at the path. The thread
// that entered it is thrown away: nothing else may run there.
func startIn(path string, cmd *exec.Cmd) error {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("network namespace %q: %w", path, err)
	}
	defer ns.Close()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			result <- fmt.Errorf("network namespace %q: %w", path, err)
			return
		}
		result <- cmd.Start()
	}()
	return <-result
}

func (s *sandbox) handshake(config sandboxConfig, to io.Writer, from io.Reader) error {
	if err := json.NewEncoder(to).Encode(config); err != nil {
		return fmt.Errorf("sandbox: send configuration: %w", err)
	}
	answer, err := bufio.NewReader(from).ReadString('\n')
	if err != nil {
		return fmt.Errorf("sandbox: first process: %w", err)
	}
	if answer = strings.TrimSpace(answer); answer != "ready" {
		return errors.New(answer)
	}
	return nil
}

// path is where the machine finds a file of the sandbox.
func (s *sandbox) path(inside string) string {
	return filepath.Join("/proc", s.pid, "root", inside)
}

// cgroup is the name of the cgroup below which the sandbox's containers are.
func (s *sandbox) cgroup() string { return cgroupName(os.Getpid(), s.pid) }

// checkRoot refuses a sandbox whose mount namespace has another root than its
// first process. That is so when the test itself runs in a chroot: what enters
// the namespace later, such as `docker exec`, would be on the machine's files.
func (s *sandbox) checkRoot() error {
	entered, err := s.command("stat", "--format=%d:%i", "/").Output()
	if err != nil {
		return fmt.Errorf("sandbox: enter: %w", err)
	}
	var root unix.Stat_t
	if err := unix.Stat(s.path("/"), &root); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	if want := fmt.Sprintf("%d:%d", root.Dev, root.Ino); strings.TrimSpace(string(entered)) != want {
		return errors.New("sandbox: engines cannot run in a chroot: enter the directory with pivot_root")
	}
	return nil
}

// CgroupVar is the environment variable that tells a program in a sandbox the
// cgroup that goes with the test, for containers that it makes by itself.
const CgroupVar = "MCPNET_TEST_CGROUP"

// command prepares a program of the sandbox's tree to run in it. To enter the
// mount namespace is to enter its root, and to be in that directory.
func (s *sandbox) command(name string, args ...string) *exec.Cmd {
	argv := []string{"--target", s.pid, "--mount", "--pid", "--net", "--ipc", "--", name}
	cmd := exec.Command("nsenter", append(argv, args...)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		CgroupVar + "=/" + s.cgroup(),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// commandLimit bounds each program that a test runs in a sandbox.
const commandLimit = 5 * time.Minute

// capture runs a command made by sandbox.command and returns what it prints,
// without the last newline. The error carries what it says on stderr. What the
// program leaves running, as Podman does conmon, may go on holding its output.
func capture(cmd *exec.Cmd, name string, args []string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	err := cmd.Start()
	if err == nil {
		limit := time.AfterFunc(commandLimit, func() {
			signalChildren(cmd.Process.Pid, syscall.SIGKILL)
			cmd.Process.Kill()
		})
		err = cmd.Wait()
		if !limit.Stop() {
			err = fmt.Errorf("took longer than %v", commandLimit)
		}
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil
		}
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimRight(stdout.String(), "\n"), err
}

// close ends the first process, and through it all others, and waits for it:
// the kernel reports the end of a PID namespace after that of its last process.
func (s *sandbox) close() error {
	if err := s.init.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sandbox: %w", err)
	}
	s.hold.Close()
	s.init.Wait()
	return removeCgroups(s.cgroup())
}
