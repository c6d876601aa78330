package resident_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/router/process"
	"github.com/mcpnet/mcpnet/internal/router/sandbox"
	"github.com/mcpnet/mcpnet/internal/testhost"
	"github.com/mcpnet/mcpnet/internal/testnet"
	"github.com/mcpnet/mcpnet/internal/topology"
)

// reader is the process that reads what servers send: the test's child in the network's namespace.
func reader(t *testing.T, h *testhost.Docker) int {
	t.Helper()
	space := inodeOf(t, h.Space().Path())
	pid := 0
	testhost.Within(t, 5*time.Second, "the process that reads", func() bool {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, line := range lines {
			dir := filepath.Dir(line)
			text, _ := os.ReadFile(line)
			var s syscall.Stat_t
			if strings.Contains(string(text), process.Argument) && syscall.Stat(dir+"/ns/net", &s) == nil &&
				s.Ino == space {
				pid, _ = strconv.Atoi(filepath.Base(dir))
			}
		}
		return pid != 0
	})
	return pid
}

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var s syscall.Stat_t
	if err := syscall.Stat(path, &s); err != nil {
		t.Fatal(err)
	}
	return s.Ino
}

// TestReaderHasNoPrivilege looks at the process from outside: its user, capabilities, filter, root, namespaces and
// descriptors.
func TestReaderHasNoPrivilege(t *testing.T) {
	h := newNamed(t)
	server := client{h.Container("s", "172.20.240.1", topology.RoleServer), netip.AddrPortFrom(testnet.Resolver, 53)}
	if _, err := server.lookup("api.example.com"); err != nil { // it works
		t.Fatal(err)
	}
	dir := fmt.Sprintf("/proc/%d/", reader(t, h))
	status := fields(t, dir+"status")
	id := strconv.Itoa(sandbox.Nobody)
	for key, want := range map[string]string{"Uid": strings.Join([]string{id, id, id, id}, " "), "Gid": strings.Join([]string{id, id, id, id}, " "), "Groups": "",
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapInh": "0000000000000000", "CapAmb": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2"} {
		if status[key] != want {
			t.Errorf("%s: %q, want %q", key, status[key], want)
		}
	}
	root, err := os.Readlink(dir + "root")
	if err != nil || !strings.HasSuffix(root, "(deleted)") {
		t.Errorf("root %q, %v: want a directory that is gone", root, err)
	}
	if left, _ := os.ReadDir(dir + "root"); len(left) > 0 {
		t.Errorf("its root holds %v", left)
	}
	for _, kind := range []string{"net", "mnt", "pid", "ipc", "uts"} {
		if inodeOf(t, dir+"ns/"+kind) == inodeOf(t, "/proc/self/ns/"+kind) {
			t.Errorf("%s namespace is this process's", kind)
		}
	}
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		to, _ := os.Readlink(dir + "fd/" + fd.Name())
		if n, _ := strconv.Atoi(
			fd.Name(),
		); n > 2 && to != os.DevNull && !strings.HasPrefix(to, "socket:") && !strings.HasPrefix(to, "anon_inode:[event") &&
			!strings.HasPrefix(to, "pipe:") {
			t.Errorf("descriptor %s is %s", fd.Name(), to)
		}
	}
}

func fields(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		out[key] = strings.Join(strings.Fields(value), " ")
	}
	return out
}

// TestReaderKilled: what the process carries ends with it, what the kernel carries goes on, and the next process
// answers for the same addresses.
func TestReaderKilled(t *testing.T) {
	h := newNamed(t)
	server := client{h.Container("s", "172.20.240.1", topology.RoleServer), netip.AddrPortFrom(testnet.Resolver, 53)}
	before, err := server.lookup("stream.example.org")
	h.Check(err)
	testhost.Hello(h.World.Internet, 9999) // nothing of it is open
	stream := testhost.OpenStreamOver(t, server.in, h.World.Internet, "203.0.113.10:2222", before[0].String()+":2222")
	pid := reader(t, h)
	for range 3 {
		h.Check(syscall.Kill(pid, syscall.SIGKILL))
		took := testhost.Within(t, 10*time.Second, "names after kill -9", func() bool {
			got, err := server.lookup("stream.example.org")
			return err == nil && got[0] == before[0]
		})
		t.Logf("names back after %v", took)
		stream.Moves(time.Second)
		pid = reader(t, h)
	}
	if got, err := server.get("https", "api.example.com", "api.example.com"); err != nil {
		t.Errorf("%q, %v", got, err)
	}
	h.Reaches(server.in, before[0].String()+"/9999", false)
	stream.Finish()
}

// TestNamesOverRestart: a front that starts anew answers for the same addresses; a flush in the namespace opens
// nothing, and a repair brings back the names that are resolved; what one server has resolved opens nothing for the
// next at its address.
func TestNamesOverRestart(t *testing.T) {
	h := newNamed(t)
	server := client{h.Container("s", "172.20.240.1", topology.RoleServer), netip.AddrPortFrom(testnet.Resolver, 53)}
	addrs, err := server.lookup("git.example.org")
	h.Check(err)
	git := addrs[0].String() + "/22"
	h.Reaches(server.in, git, true)
	h.Space().Run("nft", "flush", "ruleset")
	if _, err := testhost.DialFor(server.in, git, time.Second); err == nil {
		t.Error("a name is reached without rules")
	}
	_, err = h.Front.Reconcile(t.Context())
	h.Check(err)
	h.Reaches(server.in, git, true)
	h.Close()
	h.Reaches(server.in, git, true) // nobody answers names, and the kernel leads on
	h.Open()
	h.Settled()
	h.Reaches(server.in, git, true)
	if again, err := server.lookup("git.example.org"); err != nil || again[0] != addrs[0] {
		t.Errorf("%v, %v, want %s again", again, err, addrs[0])
	}
	h.Check(h.Front.DeleteEndpoint(t.Context(), testhost.NetworkID, "s"))
	next := h.Narrowed("n", "172.20.240.1", "api.example.com")
	h.Reaches(next, git, false)
	if got, err := (client{next, server.resolver}).lookup("git.example.org"); !isNotFound(err) {
		t.Errorf("%v, %v: want that the name does not exist for this server", got, err)
	}
}
