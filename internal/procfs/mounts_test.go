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
)

// TestMountsOf: a container's mounts are known by the host's paths, in whatever file system they are.
func TestMountsOf(t *testing.T) {
	socket, files := filepath.Join(t.TempDir(), "engine.sock"), t.TempDir()
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	container := t.TempDir()
	script := `mount -t tmpfs none ` + container + `; cd ` + container + `; mkdir sys data mem; touch socket
mount --bind ` + socket + ` socket; mount --bind /sys sys; mount --bind "` + files + `" data; mount -t tmpfs none mem; mkdir mem/own`
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
	for _, want := range []string{socket, "/sys", files} {
		if !slices.Contains(m, want) {
			t.Errorf("%s is not among %q", want, m)
		}
	}
	if slices.ContainsFunc(m, func(p string) bool { return filepath.Base(p) == "own" || filepath.Base(p) == "mem" }) {
		t.Errorf("a file system of its own is among %q", m)
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
	want := []mount{{"98:0", "/a b", "/mnt1", "ext3", "rw,errors=continue"}, {"98:0", "/", `/mnt\`, "cgroup2", "rw"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	hosts := []mount{{"98:0", "/", "/", "ext4", ""}, {"0:25", "/", "/run", "tmpfs", ""}, {"98:0", "/@x", "/x", "ext4", ""}}
	own := []mount{{"0:25", "/docker.sock", "/s", "tmpfs", ""}, {"0:99", "/", "/", "overlay", "rw,lowerdir=/l/1:/l/2"}, {"98:0", "/@x/y", "/y", "ext4", ""},
		{"0:25", "/", "/sys/fs/cgroup", "cgroup2", ""}, {"0:98", "/s", "/o", "overlay", `ro,lowerdir=/a\040b,upperdir=/u`}}
	if got := sources(own, hosts); !slices.Equal(got, []string{"/run/docker.sock", "/l/1", "/l/2", "/@x/y", "/x/y", "/a b/s", "/u/s"}) {
		t.Errorf("%q", got)
	}
}
