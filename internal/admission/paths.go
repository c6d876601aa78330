package admission

import (
	"path"
	"slices"
	"strings"
)

// hostPath is a place of the host that is a way out of the network for a container in which it is mounted.
type hostPath struct {
	path string
	tree bool // what lies below is one, too
	why  string
}

// hostPaths is the table of places for which it does not matter whether they are mounted read-only: a socket answers all
// the same, and what may be read holds keys and other containers' files. A mount that holds one of them is a way out as
// well, so "/" stands for all.
// Below a place that is no tree, engines keep what they mount into every container.
var hostPaths = []hostPath{
	{"/proc", true, "the host's processes"},
	{"/sys", true, "the host's kernel settings"},
	{"/dev", false, "the host's devices"},
	{"/boot", true, "the host's kernel"},

	{"/run", false, "sockets of the host's services"},
	{"/run/dbus", true, "the host's D-Bus, through which systemd obeys root"},
	{"/run/systemd", true, "sockets of the host's systemd"},
	{"/run/user", false, "sockets of the host's users"},
	{"/run/netns", true, "the host's network namespaces"},
	{"/run/mcpnet", true, "what mcpnet knows of containers"},
	{"/run/docker", true, "sockets of Docker and its plugins"},
	{"/run/user/0", true, "sockets of root's session"},
	{"/run/containerd", false, "containerd's socket"},
	{"/run/containerd/s", true, "sockets of containerd's shims, which run programs as root"},
	{"/run/buildkit", true, "BuildKit's socket"},
	{"/run/podman", true, "Podman's socket"},
	{"/run/crio", false, "CRI-O's socket"},
	{"/run/k3s", false, "k3s's sockets"},
	{"/run/libvirt", true, "libvirt's sockets"},
	{"/var/lib/lxd", true, "LXD's socket, and other containers' files"},
	{"/var/snap/lxd", true, "LXD's socket, and other containers' files"},
	{"/var/lib/incus", true, "Incus's socket, and other containers' files"},

	{"/var/lib/docker", false, "other containers' files"},
	{"/var/lib/docker/containers", false, "other containers' files"},
	{"/var/lib/docker/volumes", false, "other containers' files"},
	{"/var/lib/docker/overlay2", false, "other containers' files"},
	{"/var/lib/docker/plugins", true, "the files of Docker's plugins"},
	{"/var/lib/containerd", false, "other containers' files"},
	{"/var/lib/containers", false, "other containers' files"},
	{"/var/lib/containers/storage", false, "other containers' files"},
	{"/var/lib/containers/storage/overlay", false, "other containers' files"},
	{"/var/lib/containers/storage/volumes", false, "other containers' files"},
	{"/var/lib/kubelet", false, "other containers' files, and the kubelet's keys"},
	{"/var/lib/kubelet/pki", true, "the kubelet's keys"},
	{"/var/lib/kubelet/pods", false, "other containers' files"},
	{"/var/lib/kubelet/device-plugins", true, "the kubelet's sockets"},
	{"/var/lib/kubelet/pod-resources", true, "the kubelet's sockets"},
	{"/var/lib/rancher/k3s/server", true, "the cluster's keys"},
	{"/var/lib/etcd", true, "the cluster's keys"},
	{"/var/lib/mcpnet", true, "mcpnet's own documents"},

	{"/etc", false, "the host's configuration and keys"},
	{"/etc/cni", true, "the configuration of container networks"},
	{"/etc/containerd", true, "the engine's configuration"},
	{"/etc/containers", true, "the engine's configuration"},
	{"/etc/crio", true, "the engine's configuration"},
	{"/etc/docker", true, "the engine's configuration"},
	{"/etc/mcpnet", true, "mcpnet's own configuration"},
	{"/etc/kubernetes", true, "the cluster's keys"},
	{"/etc/rancher", true, "the cluster's keys"},
	{"/etc/systemd", true, "what the host runs"},
	{"/etc/cron.d", true, "what the host runs"},
	{"/etc/crontab", true, "what the host runs"},
	{"/etc/shadow", true, "the host's passwords"},
	{"/etc/gshadow", true, "the host's passwords"},
	{"/etc/sudoers.d", true, "who is root on the host"},
	{"/etc/ssh", true, "the host's keys"},

	{"/usr", false, "the host's programs"},
	{"/usr/bin", false, "the host's programs"},
	{"/usr/sbin", false, "the host's programs"},
	{"/usr/lib", false, "the host's programs"},
	{"/usr/local", false, "the host's programs"},
	{"/bin", false, "the host's programs"},
	{"/sbin", false, "the host's programs"},
	{"/lib", false, "the host's programs"},

	{"/root", false, "root's keys, and what root's shell runs"},
	{"/root/.ssh", true, "root's keys"},
	{"/root/.kube", true, "the cluster's keys"},
}

// rootRuns is the table of places out of which the host runs what root runs, or from which root's programs take what to
// run. A container that may write there has a way out; what lies there may be read.
var rootRuns = []hostPath{
	{"/usr/bin", true, "the host's programs"},
	{"/usr/sbin", true, "the host's programs"},
	{"/usr/lib", true, "the host's programs"},
	{"/usr/lib64", true, "the host's programs"},
	{"/usr/libexec", true, "the host's programs"},
	{"/usr/local/bin", true, "the host's programs"},
	{"/usr/local/sbin", true, "the host's programs"},
	{"/usr/local/lib", true, "the host's programs"},
	{"/usr/local/libexec", true, "the host's programs"},
	{"/usr/share/dbus-1", true, "which services D-Bus starts"},
	{"/usr/share/polkit-1", true, "who may do what root may"},
	{"/bin", true, "the host's programs"},
	{"/sbin", true, "the host's programs"},
	{"/lib", true, "the host's programs"},
	{"/opt/cni", true, "the programs of container networks"},
	{"/opt/containerd", true, "the engine's programs"},
	{"/root", false, "what root's shell runs"},
	{"/root/.bashrc", true, "what root's shell runs"},
	{"/root/.bash_profile", true, "what root's shell runs"},
	{"/root/.bash_login", true, "what root's shell runs"},
	{"/root/.profile", true, "what root's shell runs"},
	{"/root/.config", true, "what root's session runs"},
	{"/var/spool/cron", true, "what the host runs"},
	{"/var/spool/at", true, "what the host runs"},
	{"/var/spool/anacron", true, "what the host runs"},
	{"/var/lib/dpkg", true, "what the host's package manager runs"},
	{"/var/lib/cloud", true, "what the host runs"},
	{"/var/lib/snapd", true, "what the host runs"},
	{"/run/runc", true, "what the engine's runtime does"},
	{"/run/crun", true, "what the engine's runtime does"},
	{"/etc/cron.hourly", true, "what the host runs"},
	{"/etc/cron.daily", true, "what the host runs"},
	{"/etc/cron.weekly", true, "what the host runs"},
	{"/etc/cron.monthly", true, "what the host runs"},
	{"/etc/anacrontab", true, "what the host runs"},
	{"/etc/init.d", true, "what the host runs"},
	{"/etc/rc.local", true, "what the host runs"},
	{"/etc/profile", true, "what root's shell runs"},
	{"/etc/profile.d", true, "what root's shell runs"},
	{"/etc/bash.bashrc", true, "what root's shell runs"},
	{"/etc/bashrc", true, "what root's shell runs"},
	{"/etc/environment", true, "what root's shell runs"},
	{"/etc/update-motd.d", true, "what the host runs"},
	{"/etc/ld.so.conf", true, "what every program of the host loads"},
	{"/etc/ld.so.conf.d", true, "what every program of the host loads"},
	{"/etc/ld.so.preload", true, "what every program of the host loads"},
	{"/etc/ld.so.cache", true, "what every program of the host loads"},
	{"/etc/nsswitch.conf", true, "what every program of the host loads"},
	{"/etc/alternatives", true, "the host's programs"},
	{"/etc/pam.d", true, "who is root on the host"},
	{"/etc/security", true, "who is root on the host"},
	{"/etc/passwd", true, "who is root on the host"},
	{"/etc/group", true, "who is root on the host"},
	{"/etc/sudoers", true, "who is root on the host"},
	{"/etc/polkit-1", true, "who may do what root may"},
	{"/etc/dbus-1", true, "which services D-Bus starts"},
	{"/etc/udev", true, "what the host runs"},
	{"/etc/modprobe.d", true, "what the host's kernel loads"},
	{"/etc/modules-load.d", true, "what the host's kernel loads"},
	{"/etc/sysctl.d", true, "the host's kernel settings"},
	{"/etc/sysctl.conf", true, "the host's kernel settings"},
	{"/etc/fstab", true, "what the host mounts"},
	{"/etc/default", true, "how the host's services start"},
	{"/etc/sysconfig", true, "how the host's services start"},
	{"/etc/network", true, "what the host runs"},
	{"/etc/NetworkManager", true, "what the host runs"},
	{"/etc/networkd-dispatcher", true, "what the host runs"},
	{"/etc/dhcp", true, "what the host runs"},
	{"/etc/ppp", true, "what the host runs"},
	{"/etc/logrotate.conf", true, "what the host runs"},
	{"/etc/logrotate.d", true, "what the host runs"},
	{"/etc/apt", true, "what the host's package manager runs"},
	{"/etc/dnf", true, "what the host's package manager runs"},
	{"/etc/kernel", true, "what the host's package manager runs"},
	{"/etc/letsencrypt", true, "what the host runs"},
}

// engineSockets are the names of engines' sockets, wherever they lie. Whoever may write to one is root on the host.
var engineSockets = map[string]string{
	"docker.sock":            "Docker's socket",
	"containerd.sock":        "containerd's socket",
	"containerd.sock.ttrpc":  "containerd's socket",
	"containerd-debug.sock":  "containerd's socket",
	"podman.sock":            "Podman's socket",
	"crio.sock":              "CRI-O's socket",
	"cri-dockerd.sock":       "Docker's socket for Kubernetes",
	"dockershim.sock":        "Docker's socket for Kubernetes",
	"buildkitd.sock":         "BuildKit's socket",
	"libvirt-sock":           "libvirt's socket",
	"system_bus_socket":      "the host's D-Bus, through which systemd obeys root",
	"docker-containerd.sock": "containerd's socket",
	"snapd.socket":           "snapd's socket, through which root installs programs",
	"multipass_socket":       "Multipass's socket",
}

// harmless is the one part of the host's /proc that an engine mounts by itself: NVIDIA's tools show a container its
// GPUs there.
const harmless = "/proc/driver/nvidia"

// aliases are links that most hosts have. A path that is another link has to be resolved by whoever can see the host.
var aliases = map[string]string{"/var/run": "/run", "/lib64": "/lib"}

// Mount is a path of the host that is mounted in a container.
type Mount struct {
	Source   string
	ReadOnly bool
}

// WayOut tells why a mount is a way out of the network for the container; bad is false where it is none. A source that
// is no path, such as "proc" or a volume's name, is none.
func (m Mount) WayOut() (reason string, bad bool) {
	if !strings.HasPrefix(m.Source, "/") {
		return "", false
	}
	p := path.Clean(m.Source)
	for alias, real := range aliases {
		if within(p, alias) {
			p = path.Clean(real + p[len(alias):])
		}
	}
	if reason, bad = wayOutOfPath(p); bad || m.ReadOnly {
		return reason, bad
	}
	if reason, bad = placeIn(rootRuns, p); bad {
		reason += " (mount it read-only)"
	}
	return reason, bad
}

// wayOutOfPath tells why a path is a way out, read-only or not.
func wayOutOfPath(p string) (reason string, bad bool) {
	if why, ok := engineSockets[path.Base(p)]; ok {
		return why, true
	}
	if within(p, harmless) {
		return "", false
	}
	if p == "/" {
		return "all of the host's files", true
	}
	if reason, bad := placeIn(hostPaths, p); bad {
		return reason, true
	}
	if within(p, "/dev") {
		return WayOutOfDevice(p)
	}
	return "", false
}

// placeIn finds a path in a table, or a place of the table in the path.
func placeIn(table []hostPath, p string) (reason string, found bool) {
	for _, h := range table {
		if p == h.path || h.tree && within(p, h.path) {
			return h.why, true
		}
	}
	for _, h := range table {
		if within(h.path, p) {
			return h.path + ", " + h.why, true
		}
	}
	return "", false
}

// within reports whether a path is a directory or lies below it.
func within(p, dir string) bool {
	rest, ok := strings.CutPrefix(p, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// maskedPaths and readonlyPaths are the places that an engine has to mask or to make read-only.
var maskedPaths, readonlyPaths = []string{"/proc/kcore"}, []string{"/proc/sys", "/proc/sysrq-trigger"}

// Unmasked tells which of the places are unprotected by which root in a container reaches the host's kernel, whatever
// capabilities it lacks: files of /proc that are root's own. Engines mask some and make some read-only, unless they
// are told not to.
func Unmasked(masked, readonly []string) (missing []string) {
	covered := func(p string, by []string) bool {
		return slices.ContainsFunc(by, func(dir string) bool { return within(p, path.Clean(dir)) })
	}
	for _, p := range readonlyPaths {
		if !covered(p, masked) && !covered(p, readonly) {
			missing = append(missing, p)
		}
	}
	for _, p := range maskedPaths {
		if !covered(p, masked) {
			missing = append(missing, p)
		}
	}
	return missing
}

// KernelPlaces are where a host has file systems of its kernel, by their types. Each mount of one may be another one.
var KernelPlaces = map[string]string{"proc": "/proc", "sysfs": "/sys", "devtmpfs": "/dev", "cgroup": "/sys/fs/cgroup", "cgroup2": "/sys/fs/cgroup",
	"debugfs": "/sys/kernel/debug", "tracefs": "/sys/kernel/tracing", "securityfs": "/sys/kernel/security", "bpf": "/sys/fs/bpf"}
