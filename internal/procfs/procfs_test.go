package procfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/admission"
	"github.com/mcpnet/mcpnet/internal/ns"
	"github.com/mcpnet/mcpnet/internal/policy"
	"github.com/mcpnet/mcpnet/internal/procfs"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// twoFaced has this test's program be a process whose first thread shows nothing of what the others hold.
const twoFaced = "MCPNET_PROCFS_TWO_FACED"

func init() { runtime.LockOSThread() } // main stays on the first thread

// churning has it be a process whose threads live for a moment each.
const churning = "MCPNET_PROCFS_CHURNING"

// headless has it be a process whose first thread has ended.
const headless = "MCPNET_PROCFS_HEADLESS"

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(headless) != "":
		go func() { runtime.LockOSThread(); select {} }()
		time.Sleep(50 * time.Millisecond)
		_, _, _ = unix.Syscall(unix.SYS_EXIT, 0, 0, 0) // of the thread
	case os.Getenv(churning) != "":
		for {
			go runtime.LockOSThread() // its thread ends with it
			time.Sleep(20 * time.Microsecond)
		}
	case os.Getenv(twoFaced) == "":
		os.Exit(m.Run())
	}
	go func() { runtime.LockOSThread(); select {} }()
	time.Sleep(50 * time.Millisecond)
	for c := range uintptr(64) {
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	}
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	var none [2]unix.CapUserData
	_ = unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0])
	time.Sleep(time.Minute)
}

// hardened begins the command of a process that holds nothing.
var hardened = []string{"setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"}

// ownNamespaces are those of a container beside the network's.
const ownNamespaces = unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// TestProcesses: what one thread holds the process holds, whatever its first one shows; what it shares with the host is
// seen.
func TestProcesses(t *testing.T) {
	for name, tt := range map[string]struct {
		command []string
		own     uintptr
		says    string
		wayOut  bool
	}{
		"hardened":       {append(hardened, "sleep", "60"), ownNamespaces, "", false},
		"plain":          {[]string{"sleep", "60"}, ownNamespaces, "holds", true},
		"two-faced":      {[]string{"env", twoFaced + "=1", os.Args[0]}, ownNamespaces, "holds", true},
		"of the host":    {append(hardened, "sleep", "60"), 0, "shares the host's pid and ipc and uts namespace", true},
		"host's name":    {append(hardened, "sleep", "60"), ownNamespaces &^ unix.CLONE_NEWUTS, "shares the host's uts namespace", true},
		"shut in itself": {append(hardened, "unshare", "--user", "--keep-caps", "sleep", "60"), ownNamespaces, "holds", false},
	} {
		t.Run(name, func(t *testing.T) {
			in := testnet.New(t, "procfs")
			cmd := start(t, in, tt.own, tt.command...)
			if name == "two-faced" {
				eventually(t, "its first thread shows nothing", func() bool {
					status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
					return strings.Contains(string(status), "CapEff:\t0000000000000000")
				})
			}
			eventually(t, fmt.Sprintf("process %d, %q", cmd.Process.Pid, tt.says), func() bool {
				found := processes(t, in)
				if len(found) != 1 || found[0].PID != cmd.Process.Pid || found[0].Start == 0 {
					return false
				}
				a := admission.Verdict("test", found[0].Problems(policy.DefaultCaps))
				return strings.Contains(a.Reason, tt.says) && (a.Reason == "") == (tt.says == "") && a.WayOut == tt.wayOut
			})
		})
	}
}

// TestElsewhere: a process on another network in a container's namespace is found; a part of the container that has
// shut itself off from the network is not taken for one.
func TestElsewhere(t *testing.T) {
	in, other := testnet.New(t, "procfs"), testnet.New(t, "other")
	server := start(t, in, ownNamespaces, append(hardened, "sh", "-c", "unshare --user --net sleep 60 & exec sleep 60")...)
	start(t, other, ownNamespaces, "sleep", "60") // in namespaces of its own
	alone := func() bool {
		found := processes(t, in)
		return len(found) == 1 && found[0].Name == "sleep"
	}
	eventually(t, "the server's process", alone)
	for namespace, kind := range map[string]string{"--pid": "pid", "--ipc": "ipc"} {
		spy := start(t, other, 0, "nsenter", "--target", strconv.Itoa(server.Process.Pid), namespace, "sleep", "60")
		eventually(t, "who joined with "+namespace, func() bool {
			found := processes(t, in)
			return len(found) == 2 && slices.Equal(found[1].Elsewhere, []string{kind}) && found[1].Name == "sleep"
		})
		// Whoever joins is a server, too: each is a way out for the other.
		both, err := procfs.Processes(map[uint64]bool{inode(t, in): true, inode(t, other): true})
		if err != nil || len(both[inode(t, in)]) != 2 || !slices.ContainsFunc(both[inode(t, other)], func(p admission.Process) bool {
			return p.PID == server.Process.Pid && slices.Equal(p.Elsewhere, []string{kind})
		}) {
			t.Errorf("both servers: %+v, %v", both, err)
		}
		end(spy)
		eventually(t, "the server's process alone again", alone)
	}
}

// TestInside: what a container's own process has begun is told from what was put there from the host.
func TestInside(t *testing.T) {
	in := testnet.New(t, "procfs")
	cmd := start(t, in, ownNamespaces, "sh", "-c", "sleep 60 & exec sleep 61")
	start(t, in, 0, "nsenter", "--target", strconv.Itoa(cmd.Process.Pid), "--pid", "--ipc", "--uts", "sleep", "62")
	eventually(t, "three processes, of which one was begun inside", func() bool {
		found := processes(t, in)
		var inside []string
		for _, p := range found {
			if args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID)); p.Inside {
				inside = append(inside, strings.ReplaceAll(string(args), "\x00", " "))
			}
		}
		return len(found) >= 3 && slices.Equal(inside, []string{"sleep 60 "})
	})
}

// TestChain: children that live for a moment each, of which each begins the next, are seen where they are in a control
// group of the container's, or in one that it has made.
func TestChain(t *testing.T) {
	for name, move := range map[string]string{
		"in its group": "",
		"in another":   `mkdir own others; mount -t cgroup2 none "$1"; echo 0 > own/cgroup.procs; moved="echo 0 > others/cgroup.procs"`,
	} {
		t.Run(name, func(t *testing.T) {
			in := testnet.New(t, "procfs")
			const chain = `trap "" CHLD; f() { f & }; { eval "$moved"; f; } & shift; exec "$@"`
			cmd := start(t, in, ownNamespaces, "sh", "-c", `cd "$1"; echo 0 > cgroup.procs; shift; exec unshare --cgroup --mount "$@"`, "sh",
				group(t), "sh", "-c", move+"\n"+chain, "sh", t.TempDir(), "setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "sleep", "60")
			eventually(t, "its first process holds nothing", func() bool {
				comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
				return string(comm) == "sleep\n"
			})
			const looks = 8
			seen := 0
			for range looks {
				if slices.ContainsFunc(processes(t, in), func(p admission.Process) bool { return p.Inside && p.Caps != 0 }) {
					seen++
				}
			}
			if t.Logf("seen by %d of %d looks", seen, looks); seen < looks/4 { // none or one without the group
				t.Error("a chain of children is not seen")
			}
		})
	}
}

// group makes a control group for processes of the test.
func group(t *testing.T) string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.FSTypeFilter("cgroup2"))
	if err != nil || len(mounts) == 0 {
		t.Fatalf("no hierarchy of control groups: %v", err)
	}
	dir, err := os.MkdirTemp(mounts[0].Mountpoint, "mcpnet-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		eventually(t, "the control group is empty", func() bool {
			for _, below := range []string{"own", "others"} {
				_ = os.Remove(filepath.Join(dir, below))
			}
			return os.Remove(dir) == nil
		})
	})
	return dir
}

// TestHeadless: a process whose first thread has ended is seen, and so is what it has mounted, where it is, and in whose
// namespaces.
func TestHeadless(t *testing.T) {
	in, other := testnet.New(t, "procfs"), testnet.New(t, "other")
	in.Run("ip", "link", "add", "veth7", "type", "veth", "peer", "name", "veth8")
	server := start(t, in, ownNamespaces, append(hardened, "sleep", "60")...)
	eventually(t, "the server", func() bool { return len(processes(t, in)) == 1 })
	cmd := start(t, other, 0, "nsenter", "--target", strconv.Itoa(server.Process.Pid), "--ipc", "--uts", "--no-fork", "env", headless+"=1", os.Args[0])
	eventually(t, "no first thread", func() bool {
		_, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid))
		return err != nil
	})
	found := processes(t, other) // and the server, which is in namespaces of its
	if len(found) != 2 || found[0].PID != cmd.Process.Pid || found[0].Caps == 0 {
		t.Fatalf("%+v", found)
	}
	if mounts, ok, err := procfs.MountsOf(found[0].Thread); !ok || err != nil || !slices.Contains(mounts, admission.Mount{Source: "/"}) {
		t.Errorf("its mounts: %v, %v", ok, err)
	}
	if lodgers := processes(t, in); len(lodgers) != 2 || !slices.Equal(lodgers[1].Elsewhere, []string{"ipc", "uts"}) {
		t.Errorf("who is in the server's namespaces: %+v", lodgers)
	}
	if names, err := procfs.Interfaces(processes(t, in)[0].Thread); err != nil || !slices.Contains(names, "veth7") {
		t.Errorf("interfaces: %v, %v", names, err)
	}
	network, err := procfs.NamespaceOf(in.Path())
	if err != nil {
		t.Fatal(err)
	}
	ipc := fmt.Sprintf("/proc/%d/ns/ipc", server.Process.Pid)
	if stranger, ok, err := procfs.StrangerIn(ipc, "ipc", network); !ok || err != nil || stranger.PID != cmd.Process.Pid {
		t.Errorf("a stranger: %+v, %v, %v", stranger, ok, err)
	}
}

// TestThreadsThatEnd: a process is seen although threads of it end while it is looked at.
func TestThreadsThatEnd(t *testing.T) {
	in := testnet.New(t, "procfs")
	cmd := start(t, in, ownNamespaces, "env", churning+"=1", os.Args[0])
	eventually(t, "its threads", func() bool {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", cmd.Process.Pid))
		return len(entries) > 1
	})
	for range 30 {
		if found := processes(t, in); len(found) != 1 || found[0].Caps == 0 {
			t.Fatalf("%+v", found)
		}
	}
}

// TestInterfaces: those of the process's network namespace, and none of one that has ended.
func TestInterfaces(t *testing.T) {
	in := testnet.New(t, "procfs")
	in.Run("ip", "link", "add", "veth7", "type", "veth", "peer", "name", "veth8")
	cmd := start(t, in, 0, "sleep", "60")
	eventually(t, "the interfaces", func() bool {
		names, err := procfs.Interfaces(cmd.Process.Pid)
		return err == nil && slices.Contains(names, "lo") && slices.Contains(names, "veth7") && slices.Contains(names, "veth8")
	})
	end(cmd)
	if names, err := procfs.Interfaces(cmd.Process.Pid); len(names) > 0 || err != nil {
		t.Errorf("one that has ended: %v, %v", names, err)
	}
}

// TestUnseen: whoever may not see what processes are in says so.
func TestUnseen(t *testing.T) {
	in := testnet.New(t, "procfs")
	start(t, in, ownNamespaces, "sleep", "60")
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with what it lost
		var caps [2]unix.CapUserData
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capget(&header, &caps[0]); err != nil {
			panic(err)
		}
		caps[0].Effective &^= 1 << unix.CAP_SYS_PTRACE
		caps[0].Permitted &^= 1 << unix.CAP_SYS_PTRACE
		if err := unix.Capset(&header, &caps[0]); err != nil {
			panic(err)
		}
		_, err := procfs.Processes(map[uint64]bool{inode(t, in): true})
		done <- err
	}()
	if err := <-done; !errors.Is(err, fs.ErrPermission) {
		t.Errorf("without CAP_SYS_PTRACE: %v", err)
	}
}

// start starts a process in a network namespace. It takes a moment to become what it is to be.
func start(t *testing.T, in *testnet.NS, own uintptr, command ...string) *exec.Cmd {
	t.Helper()
	cmd := in.Command(command[0], command[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: own, Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd) })
	return cmd
}

func end(cmd *exec.Cmd) {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with its children
	_ = cmd.Wait()
}

func inode(t *testing.T, in *testnet.NS) uint64 {
	t.Helper()
	found, err := ns.Inode(in.Path())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func processes(t *testing.T, in *testnet.NS) []admission.Process {
	t.Helper()
	found, err := procfs.Processes(map[uint64]bool{inode(t, in): true})
	if err != nil {
		t.Fatal(err)
	}
	return found[inode(t, in)]
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not seen: %s", what)
		}
	}
}
