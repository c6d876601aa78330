package oci

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// TestWideRules: a device whose number is another one on each host is known by the name that the kernel gives it.
func TestWideRules(t *testing.T) {
	before := charDevices
	defer func() { charDevices = before }()
	charDevices = t.TempDir()
	for numbers, name := range map[string]string{"240:0": "harmless0", "240:1": "hidraw0", "241:0": "ttyX0", "5:1": "console", "136:0": "pts/0"} {
		dir := filepath.Join(charDevices, numbers)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "uevent"), []byte("MAJOR=1\nDEVNAME="+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := func(n int64) *int64 { return &n }
	for name, tt := range map[string]struct {
		rule specs.LinuxDeviceCgroup
		says string
	}{
		"a major":           {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(240), Access: "rw"}, `"c 240:* rw": the host's keyboard and terminal (/dev/hidraw0)`},
		"one device":        {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(240), Minor: n(1), Access: "r"}, "/dev/hidraw0"},
		"its neighbour":     {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(240), Minor: n(0), Access: "rwm"}, ""},
		"nodes":             {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(240), Access: "m"}, ""},
		"denied":            {specs.LinuxDeviceCgroup{Type: "c", Major: n(240), Access: "rwm"}, ""},
		"another major":     {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(241), Access: "rwm"}, ""},
		"nothing there":     {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(250), Access: "rwm"}, ""},
		"Docker's terminal": {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(5), Minor: n(1), Access: "rwm"}, ""},
		"terminals":         {specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: n(136), Access: "rwm"}, ""},
	} {
		problems := wideRules([]specs.LinuxDeviceCgroup{tt.rule})
		if (tt.says == "") != (len(problems) == 0) || !strings.Contains(strings.Join(problems, ";"), tt.says) {
			t.Errorf("%s: %q, want %q", name, problems, tt.says)
		}
	}
}

// TestStacked: what shows another directory of the host is known by the mount table, or known to hide it.
func TestStacked(t *testing.T) {
	at := t.TempDir()
	for name, tt := range map[string]struct {
		mount  mountinfo.Info
		says   string
		hidden bool
	}{
		"ecryptfs":    {mountinfo.Info{FSType: "ecryptfs", Source: "/etc", Root: "/"}, "the host's configuration and keys", false},
		"bindfs":      {mountinfo.Info{FSType: "fuse", Source: "/", Root: "/etc"}, "the host's configuration and keys", false},
		"another":     {mountinfo.Info{FSType: "fuse.bindfs", Source: "/srv", Root: "/"}, "", false},
		"a disk":      {mountinfo.Info{FSType: "fuseblk", Source: "/dev/sdb1", Root: "/"}, "", false},
		"of fuse":     {mountinfo.Info{FSType: "fuse.exfat", Source: "/dev/sdb1", Root: "/"}, "", false},
		"the net's":   {mountinfo.Info{FSType: "fuse.sshfs", Source: "me@there:/etc", Root: "/"}, "", false},
		"who can say": {mountinfo.Info{FSType: admission.HiddenLayers, Source: "fuse-overlayfs", Root: "/"}, "", true},
	} {
		tt.mount.Mountpoint, tt.mount.Major, tt.mount.Minor = at, 0, 999
		shown := places{table: []*mountinfo.Info{&tt.mount}}
		shown.add(admission.Mount{Source: at, ReadOnly: true}, true)
		shown.follow()
		if reason, _ := shown.wayOut(); reason != tt.says || shown.hidden != tt.hidden {
			t.Errorf("%s: %q, hidden %v", name, reason, shown.hidden)
		}
	}
}
