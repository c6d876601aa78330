package engines_test

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpnet/mcpnet/internal/testengine"
	"github.com/mcpnet/mcpnet/internal/testnet"
)

// confined are the families of sockets that a network namespace confines, and that programs use.
var confined = []int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_PACKET}

// made are the sockets that test/sockets got, by the way: families.
type made map[string][]int

func parseMade(t *testing.T, out string) made {
	t.Helper()
	m := made{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		family, err := strconv.Atoi(f[1])
		if len(f) != 3 || err != nil {
			t.Fatalf("no output of test/sockets: %q", line)
		}
		if f[2] == "ok" {
			m[f[0]] = append(m[f[0]], family)
		}
	}
	return m
}

// TestSockets: with either real runtime, whatever the seccomp profile, a container of mcpnet-runtime gets sockets that
// its network namespace confines and no others. Without it each of the ways leads to a socket that none does.
func TestSockets(t *testing.T) {
	hook := testengine.GoFile(t, "", "hook").Source
	files := []testengine.File{testengine.GoFile(t, "/bin/sockets", "test/sockets")}
	script := "sockets"
	if runtime.GOARCH == "amd64" {
		files = append(files, testengine.GoFileFor(t, "386", "/bin/sockets32", "test/sockets"))
		script += "; sockets32"
	}
	for _, version := range []string{"4.3", "5.8"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			p := testengine.StartPodman(t, testengine.PodmanOptions{Version: version,
				Host: testengine.Host{NetNS: testnet.New(t, "host").Path(), Programs: map[string]string{runtimePath: hook}}})
			p.Import(image, files...)
			run := func(real, runtime, profile string) made {
				return parseMade(t, podmanAs(t, p, real, "--runtime", runtime, "run", "--rm", "--network", "none", "--security-opt",
					"seccomp="+profile, image, "sh", "-c", script))
			}
			for real, path := range map[string]string{"runc": "/usr/sbin/runc", "crun": "/usr/bin/crun"} {
				write(t, p, "/etc/mcpnet/runtime.json", fmt.Sprintf(`{"runtime": %q}`, path))
				for _, profile := range []string{"/usr/share/containers/seccomp.json", "unconfined"} {
					checkMade(t, real+" with the profile "+profile, run(real, runtimePath, profile))
				}
			}
			checkFilterOfAnnotation(t, p, image)
			leaks := run("runc", "runc", "unconfined")
			ways := []string{"socket", "io_uring"}
			if runtime.GOARCH == "amd64" {
				ways = append(ways, "high", "socketcall")
			}
			for _, way := range ways {
				if !slices.ContainsFunc(leaks[way], func(f int) bool { return !slices.Contains(confined, f) }) {
					t.Errorf("%s: no socket of another family without mcpnet: this shows nothing", way)
				}
			}
		})
	}
}

// checkFilterOfAnnotation: crun takes a seccomp filter from an annotation, which an image may bring, in place of the
// bundle's. The runtime refuses it. The control: with crun itself it undoes a profile that permits no sockets.
func checkFilterOfAnnotation(t *testing.T, p *testengine.Podman, image string) {
	t.Helper()
	write(t, p, "/no-sockets.json", `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["socket"],"action":"SCMP_ACT_ERRNO"}]}`)
	write(t, p, "/etc/mcpnet/runtime.json", `{"runtime": "/usr/bin/crun"}`)
	const permitAll = "run.oci.seccomp_bpf_data=BgAAAAAA/38=" // BPF_RET|BPF_K, SECCOMP_RET_ALLOW
	args := func(runtime string, more ...string) []string {
		return slices.Concat([]string{"--runtime", runtime, "run", "--rm", "--network", "none", "--security-opt", "seccomp=/no-sockets.json"}, more,
			[]string{image, "sockets"})
	}
	if m := parseMade(t, podmanAs(t, p, "crun", args("crun")...)); len(m["socket"]) > 0 {
		t.Errorf("the profile permits sockets: this shows nothing: %v", m)
	}
	if m := parseMade(t, podmanAs(t, p, "crun", args("crun", "--annotation", permitAll)...)); !slices.Contains(m["socket"], unix.AF_INET) {
		t.Errorf("crun takes no filter from the annotation: this shows nothing: %v", m)
	}
	out, err := p.Podman(args(runtimePath, "--annotation", permitAll)...)
	if err == nil || !strings.Contains(err.Error()+out, "run.oci.seccomp_bpf_data sets the runtime's protection aside") {
		t.Errorf("with mcpnet-runtime: %v %s", err, out)
	}
}

// podmanAs runs Podman. crun refuses to run beside cgroups of both versions, which runc does.
func podmanAs(t *testing.T, p *testengine.Podman, real string, args ...string) string {
	t.Helper()
	if real != "crun" {
		return p.MustPodman(args...)
	}
	return must(t, p, "unshare", append([]string{"--mount", "sh", "-c", alone + ` exec podman "$@"`, "sh"}, args...)...)
}

// alone leaves a mount namespace cgroups of version 1 alone.
const alone = `! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified;`

// checkMade allows the confined families, and wants those of a server's program.
func checkMade(t *testing.T, what string, m made) {
	t.Helper()
	for way, families := range m {
		for _, family := range families {
			if !slices.Contains(confined, family) || way == "io_uring" {
				t.Errorf("%s: %s: a socket of family %d", what, way, family)
			}
		}
	}
	for _, family := range []int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK} {
		if !slices.Contains(m["socket"], family) {
			t.Errorf("%s: no socket of family %d, which programs need", what, family)
		}
	}
}

// TestFoldedKeys: a bundle that runc reads otherwise than it is written is refused. The control: runc itself runs it,
// with a capability under a key that only ends like the right one.
func TestFoldedKeys(t *testing.T) {
	p := testengine.StartPodman(t, testengine.PodmanOptions{Version: "4.3", Host: testengine.Host{NetNS: testnet.New(t, "host").Path(),
		Programs: map[string]string{runtimePath: testengine.GoFile(t, "", "hook").Source}}})
	p.Import(image)
	root := p.MustPodman("image", "mount", image)
	must(t, p, "sh", "-c", `mkdir /b && cd /b && runc spec && sed -i \
 -e 's|"path": "rootfs"|"path": "'"$0"'"|' -e 's|"terminal": true|"terminal": false|' -e 's|"sh"|"cat", "/proc/self/status"|' \
 -e 's|"linux": {|"linux": { "cgroupsPath": "'"$MCPNET_TEST_CGROUP"'/folded",|' \
 -e 's|"capabilities": {|"capabilitie\\u017f": { "bounding": ["CAP_NET_ADMIN"], "permitted": ["CAP_NET_ADMIN"], "effective": ["CAP_NET_ADMIN"] }, "x": {|' \
 config.json`, root)
	if out := must(t, p, "runc", "run", "--bundle", "/b", "plain"); !strings.Contains(out, "CapEff:\t0000000000001000") {
		t.Errorf("runc does not read the key: this shows nothing: %s", out)
	}
	out, err := p.Exec(runtimePath, "run", "--bundle", "/b", "hard")
	if err == nil || !strings.Contains(err.Error(), `"capabilitie\u017f" is not "capabilities"`) {
		t.Errorf("%v: %s", err, out)
	}
	checkHandMade(t, p, root)
}
