package procfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// TestMountsOf: a container's mounts are known by the host's paths, in whatever file system they are.
func TestMountsOf(t *testing.T) {
	socket, files := filepath.Join(t.TempDir(), "engine.sock"), t.TempDir()
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	container := t.TempDir()
	script := `mount -t tmpfs none ` + container + `; cd ` + container + `; mkdir sys data mem; touch socket
mount --bind ` + socket + ` socket; mount --bind /sys sys; mount --bind "` + files + `" data; mount -o remount,bind,ro data; mount -t tmpfs none mem; mkdir mem/own`
	cmd := exec.Command("sh", "-e", "-c", script+"\necho ready; exec sleep 60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	m, ok, err := MountsOf(cmd.Process.Pid)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, want := range []admission.Mount{{Source: socket}, {Source: "/sys"}, {Source: files, ReadOnly: true}} {
		if !slices.Contains(m, want) {
			t.Errorf("%+v is not among %+v", want, m)
		}
	}
	if slices.ContainsFunc(m, func(m admission.Mount) bool {
		return filepath.Base(m.Source) == "own" || filepath.Base(m.Source) == "mem"
	}) {
		t.Errorf("a file system of its own is among %+v", m)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Millisecond)
	if _, ok, err := MountsOf(gone.Process.Pid); ok || err != nil {
		t.Errorf("one that has ended: %v, %v", ok, err)
	}
}

func TestParseMounts(t *testing.T) {
	got := parseMounts("36 35 98:0 /a\\040b /mnt1 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\nnonsense\n" +
		"37 35 98:0 / /mnt\\134 ro - cgroup2 none rw\n")
	want := []mount{{"98:0", "/a b", "/mnt1", "ext3", "/dev/root", "rw,noatime", "rw,errors=continue"}, {"98:0", "/", `/mnt\`, "cgroup2", "none", "ro", "rw"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	hosts := parseMounts("1 1 98:0 / / rw - ext4 x rw\n2 1 0:25 / /run rw - tmpfs x rw\n3 1 98:0 /@x /x rw - ext4 x rw\n")
	own := parseMounts("1 1 0:25 /docker.sock /s ro - tmpfs x rw\n2 1 0:99 / / rw - overlay x rw,lowerdir=/l/1:/l/2\n3 1 98:0 /@x/y /y rw - ext4 x rw\n" +
		"4 1 0:25 / /sys/fs/cgroup rw - cgroup2 x rw\n5 1 0:98 /s /o ro - overlay x ro,lowerdir=/a\\040b,upperdir=/u\n6 1 0:97 / /e rw - ecryptfs /etc rw\n")
	sourcesWant := []admission.Mount{{Source: "/run/docker.sock", ReadOnly: true}, {Source: "/l/1", ReadOnly: true}, {Source: "/l/2", ReadOnly: true},
		{Source: "/@x/y"}, {Source: "/x/y"}, {Source: "/a b/s", ReadOnly: true}, {Source: "/u/s", ReadOnly: true}, {Source: "/etc"}}
	if got := sources(own, hosts); !slices.Equal(got, sourcesWant) {
		t.Errorf("%+v", got)
	}
}
