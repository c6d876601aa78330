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
	for name, tt := range map[string]struct {
		then     string
		writable bool
	}{
		"writable":  {"", true},
		"protected": {"mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys", false},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", "-e", "-c", script+"\n"+tt.then+"\necho ready; exec sleep 60")
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
				if !slices.Contains(m.Sources, want) {
					t.Errorf("%s is not among %q", want, m.Sources)
				}
			}
			if slices.ContainsFunc(m.Sources, func(p string) bool { return filepath.Base(p) == "own" || filepath.Base(p) == "mem" }) {
				t.Errorf("a file system of its own is among %q", m.Sources)
			}
			if m.WritableSettings != tt.writable {
				t.Errorf("writable settings: %v", m.WritableSettings)
			}
		})
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
	want := []mount{{"98:0", "/a b", "/mnt1", false, "ext3"}, {"98:0", "/", `/mnt\`, true, "cgroup2"}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	hosts := []mount{{"98:0", "/", "/", false, "ext4"}, {"0:25", "/", "/run", false, "tmpfs"}, {"98:0", "/@x", "/x", false, "ext4"}}
	own := []mount{{"0:25", "/docker.sock", "/s", false, "tmpfs"}, {"0:99", "/", "/", false, "overlay"}, {"98:0", "/@x/y", "/y", false, "ext4"},
		{"0:25", "/", "/sys/fs/cgroup", false, "cgroup2"}}
	if got := sources(own, hosts); !slices.Equal(got, []string{"/run/docker.sock", "/@x/y", "/x/y"}) {
		t.Errorf("%q", got)
	}
}
