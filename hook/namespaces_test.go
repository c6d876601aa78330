package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/mcpnet/mcpnet/internal/oci"
	"github.com/mcpnet/mcpnet/internal/procfs"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// process starts a program in a network namespace, with new namespaces of other kinds, and gives its process id.
func process(t *testing.T, network string, unshare ...string) int {
	t.Helper()
	args := append([]string{"--net=" + network, "--", "unshare"}, unshare...)
	cmd := exec.Command("nsenter", append(args, "--", "sleep", "100")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)); string(comm) == "sleep\n" {
			return cmd.Process.Pid
		}
	}
	t.Fatal("the process does not start")
	return 0
}

// TestNamespaces: a namespace that a container joins is a pod's where all of its processes have the container's
// network, and another container's where one has not.
func TestNamespaces(t *testing.T) {
	pod, outside := testnet.New(t, "pod"), testnet.New(t, "outside")
	infra := process(t, pod.Path(), "--ipc", "--uts")
	other := process(t, outside.Path(), "--ipc", "--uts")
	joins := func(kind, path string) string {
		return strings.Replace(config, fmt.Sprintf(`{"type":%q}`, kind), fmt.Sprintf(`{"type":%q,"path":%q}`, kind, path), 1)
	}
	of := func(pid int, kind string) string { return fmt.Sprintf("/proc/%d/ns/%s", pid, kind) }
	for name, tt := range map[string]struct{ text, network, says string }{
		"its own":              {config, "", ""},
		"the pod's":            {joins("ipc", of(infra, "ipc")), pod.Path(), ""},
		"the pod's by process": {joins("uts", of(infra, "uts")), procfs.NetNS(infra), ""},
		"another's ipc":        {joins("ipc", of(other, "ipc")), pod.Path(), fmt.Sprintf(`joins the ipc namespace of process %d ("sleep")`, other)},
		"another's uts":        {joins("uts", of(other, "uts")), "", "joins the uts namespace"},
		"another's, new net":   {joins("ipc", of(infra, "ipc")), "", "joins the ipc namespace"},
		"the host's user":      {strings.Replace(config, `[{"type":"mount"}`, `[{"type":"user","path":"/proc/self/ns/user"},{"type":"mount"}`, 1), pod.Path(), ""},
		"another's cgroup":     {strings.Replace(config, `[{"type":"mount"}`, fmt.Sprintf(`[{"type":"cgroup","path":%q},{"type":"mount"}`, of(process(t, outside.Path(), "--cgroup"), "cgroup")), 1), pod.Path(), "joins the cgroup namespace"},
		"the host's":           {joins("ipc", "/proc/self/ns/ipc"), pod.Path(), "shares the host's ipc namespace"},
	} {
		d, err := oci.Parse("config.json", []byte(tt.text))
		if err != nil {
			t.Fatal(err)
		}
		problems, err := breaches(d, tt.network)
		if err != nil || (tt.says == "") != (len(problems) == 0) || !strings.Contains(strings.Join(problems, ";"), tt.says) {
			t.Errorf("%s: %q, %v, want %q", name, problems, err, tt.says)
		}
	}
	b := newFixture(t, joins("ipc", of(other, "ipc")))
	if err := b.call(false, "create --bundle BUNDLE id"); err == nil || !strings.Contains(err.Error(), "on another network. Remedy: ") {
		t.Errorf("create: %v", err)
	}
}
