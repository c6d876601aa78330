package oci

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
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
