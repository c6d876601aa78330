package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// unshared are the namespaces that a container on an mcpnet network must have for itself or with its pod, by the names
// that the specification gives them.
var unshared = []string{"network", "pid", "ipc", "mount", "uts"}

// kernelName is what the kernel calls a kind of namespace, as in /proc/PID/ns.
func kernelName(kind string) string {
	switch kind {
	case "network":
		return "net"
	case "mount":
		return "mnt"
	}
	return kind
}

// namespace is an entry of linux.namespaces.
type namespace struct{ Type, Path string }

// linux gives the member of that name, or nil where there is none.
func (d *Document) linux() (object, error) {
	if d.platform != nil {
		return d.platform, nil
	}
	linux, err := d.root.child("linux")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	d.platform = linux
	return linux, nil
}

// putLinux sets it.
func (d *Document) putLinux(linux object) error {
	d.platform = linux
	return d.root.put("linux", linux)
}

func (d *Document) namespaces() (map[string]string, error) {
	linux, err := d.linux()
	if err != nil {
		return nil, err
	}
	var list []namespace
	if err := linux.get("namespaces", &list); err != nil {
		return nil, fmt.Errorf("%s: linux: %w", d.path, err)
	}
	paths := map[string]string{}
	for _, n := range list {
		if _, twice := paths[n.Type]; twice {
			return nil, fmt.Errorf("%s: linux.namespaces names the %s namespace twice, and runtimes differ about which counts: "+
				"leave one out", d.path, n.Type)
		}
		paths[n.Type] = n.Path
	}
	return paths, nil
}

// NetNS is the path of the network namespace that the container joins, or "" where the runtime makes one.
func (d *Document) NetNS() (string, error) {
	paths, err := d.namespaces()
	return paths["network"], err
}

// Joined are the namespaces that the container joins, beside its network and those of the host: paths by the kernel's
// names of their kinds.
func (d *Document) Joined() (map[string]string, error) {
	paths, err := d.namespaces()
	if err != nil {
		return nil, err
	}
	joined := map[string]string{}
	for name, path := range paths {
		if kind := kernelName(name); path != "" && name != "network" && !IsHosts(path, kind) {
			joined[kind] = path
		}
	}
	return joined, nil
}

// Breaches tells which ways past its network a bundle's container would have: namespaces of the host, every device, and
// what else of the host it would have.
func (d *Document) Breaches() (problems []string, err error) {
	paths, err := d.namespaces()
	if err != nil {
		return nil, err
	}
	for _, name := range unshared {
		path, own := paths[name]
		if !own || (path != "" && IsHosts(path, kernelName(name))) {
			problems = append(problems, fmt.Sprintf("shares the host's %s namespace", name))
		}
	}
	every, err := d.everyDevice()
	if err != nil {
		return nil, err
	}
	if every { // what else it has is no news
		return append(problems, "is privileged: it may use every device of the host"), nil
	}
	more, err := d.reach()
	return append(problems, more...), err
}

// IsHosts compares a namespace with that of this process, which an engine starts in the host's. The kernel's name of
// its kind is that of the file in /proc/PID/ns.
func IsHosts(path, kernel string) bool {
	one, err1 := os.Stat(path)
	own, err2 := os.Stat("/proc/self/ns/" + kernel)
	return err1 == nil && err2 == nil && os.SameFile(one, own)
}

// everyDevice reports whether the bundle permits writing to all devices, which engines do for privileged containers
// alone.
func (d *Document) everyDevice() (bool, error) {
	linux, err := d.linux()
	if err != nil {
		return false, err
	}
	var resources struct {
		Devices []struct {
			Allow        bool
			Type, Access string
			Major, Minor *int64
		}
	}
	if err := linux.get("resources", &resources); err != nil {
		return false, fmt.Errorf("%s: linux: %w", d.path, err)
	}
	any := func(n *int64) bool { return n == nil || *n < 0 }
	for _, r := range resources.Devices {
		if r.Allow && (r.Type == "" || r.Type == "a") && any(r.Major) && any(r.Minor) && strings.Contains(r.Access, "w") {
			return true, nil
		}
	}
	return false, nil
}

// Sources gives the sources of mounts by their places in the container.
func (d *Document) Sources() (map[string]string, error) {
	var mounts []struct{ Destination, Source string }
	if err := d.root.get("mounts", &mounts); err != nil {
		return nil, fmt.Errorf("%s: %w", d.path, err)
	}
	out := map[string]string{}
	for _, m := range mounts {
		out[filepath.Clean(m.Destination)] = m.Source
	}
	return out, nil
}
