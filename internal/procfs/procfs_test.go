package procfs_test

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

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

func TestMain(m *testing.M) {
	if os.Getenv(twoFaced) == "" {
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

// TestProcesses: what one thread holds the process holds, whatever its first one shows.
func TestProcesses(t *testing.T) {
	for name, tt := range map[string]struct {
		command []string
		wrong   bool
	}{
		"hardened":  {[]string{"setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs", "sleep", "60"}, false},
		"plain":     {[]string{"sleep", "60"}, true},
		"two-faced": {[]string{"env", twoFaced + "=1", os.Args[0]}, true},
	} {
		t.Run(name, func(t *testing.T) {
			in := testnet.New(t, "procfs")
			cmd := in.Command(tt.command[0], tt.command[1:]...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer end(cmd)
			inode, err := ns.Inode(in.Path())
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(500 * time.Millisecond) // it becomes what it is
			p := one(t, inode)
			if problem := p.Problem(policy.DefaultCaps); (problem != "") != tt.wrong || p.PID != cmd.Process.Pid || p.Start == 0 {
				t.Errorf("%+v: %q", p, problem)
			}
		})
	}
}

func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// one is the process in a namespace, which has to be alone.
func one(t *testing.T, inode uint64) admission.Process {
	t.Helper()
	found, err := procfs.Processes(map[uint64]bool{inode: true})
	if err != nil || len(found) != 1 || len(found[inode]) != 1 {
		t.Fatalf("found %+v, %v", found, err)
	}
	return found[inode][0]
}
