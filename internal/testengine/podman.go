package testengine

import (
	"fmt"
	"slices"
	"time"
)

// PodmanOptions says which Podman to run and where.
type PodmanOptions struct {
	// Version is a key of PodmanVersions: "4.3" or "5.8".
	Version string
	Host
}

// Podman is a Podman with a storage of its own. It has no daemon. Its methods
// may be used from one goroutine at a time.
type Podman struct{ *guest }

// podmanBackends are the network back ends of the versions: the one on which
// each is used in the field by those who write plugins for it.
var podmanBackends = map[string]string{"4.3": "cni", "5.8": "netavark"}

// StartPodman makes a sandbox in which Podman works. The test fails when that
// cannot be done. All containers end with the test.
func StartPodman(t T, opts PodmanOptions) *Podman {
	t.Helper()
	files := map[string]string{
		"/etc/containers/containers.conf": podmanConfig(podmanBackends[opts.Version]),
		"/etc/containers/storage.conf": "[storage]\ndriver = \"overlay\"\n" +
			"graphroot = \"/var/lib/containers/storage\"\nrunroot = \"/run/containers/storage\"\n",
	}
	p := &Podman{openGuest(t, release{"podman", opts.Version}, opts.Host, files, "/var/lib/containers")}
	began := time.Now()
	version := p.MustPodman("info", "--format", "{{.Version.Version}}")
	p.ready(version, began)
	return p
}

// podmanConfig is the containers.conf of a host without systemd. Drop-ins of the
// test, in /etc/containers/containers.conf.d, override it.
func podmanConfig(backend string) string {
	return fmt.Sprintf(`[containers]
# The usual limits are above those of the machines of the tests, which lack CAP_SYS_RESOURCE.
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
env = ["PODMAN_IGNORE_CGROUPSV1_WARNING=1"]
[network]
network_backend = %q
cni_plugin_dirs = [%q, "/usr/lib/cni"]
`, backend, CNIBin)
}

// Podman runs podman in the sandbox, as Exec does. A container or pod that it
// makes gets a cgroup that goes with the test; containers.conf cannot say that.
func (p *Podman) Podman(args ...string) (string, error) {
	if n := cgroupParentAt(args); n > 0 {
		args = slices.Insert(slices.Clone(args), n, "--cgroup-parent=/"+p.sandbox.cgroup())
	}
	return p.Exec("podman", args...)
}

// cgroupParentAt tells where in a command line the cgroup's parent goes: after
// the words of a command that makes containers, or nowhere, which is 0.
func cgroupParentAt(args []string) int {
	words := 0
	if len(args) > 0 && slices.Contains([]string{"container", "pod"}, args[0]) {
		words = 1
	}
	if len(args) > words && slices.Contains([]string{"run", "create"}, args[words]) {
		return words + 1
	}
	return 0
}

// MustPodman is Podman for a test that cannot go on without it.
func (p *Podman) MustPodman(args ...string) string {
	p.t.Helper()
	out, err := p.Podman(args...)
	p.must(err)
	return out
}

// Import makes an image of busybox and the files, and fails the test when that
// cannot be done.
func (p *Podman) Import(tag string, files ...File) {
	p.t.Helper()
	p.ImportImage(Image{Tag: tag, Files: files})
}

// ImportImage makes an image of busybox and what the value lists.
func (p *Podman) ImportImage(image Image) {
	p.t.Helper()
	root, err := imageTar(image.Files)
	p.must(err)
	args := []string{"import", "--quiet"}
	for _, change := range image.Changes {
		args = append(args, "--change", change)
	}
	_, err = p.feed(root, "podman", append(args, "-", reference(image.Tag))...)
	p.must(err)
}

// ContainerNetNS is the path, on the machine, of a running container's network
// namespace.
func (p *Podman) ContainerNetNS(name string) string {
	p.t.Helper()
	pid := p.MustPodman("inspect", "--format", "{{.State.Pid}}", name)
	if pid == "0" {
		p.t.Fatalf("%v: container %s does not run", p.release, name)
	}
	return p.netNS(pid)
}
