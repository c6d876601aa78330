package admission_test

import (
	"testing"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// TestWayOutOfMount: what lets a container reach past its network is known however its path is written, and what
// engines mount into every container is none of it.
func TestWayOutOfMount(t *testing.T) {
	for source, want := range map[string]bool{
		"/": true, "//": true, "/srv/..": true, "/proc": true, "/proc/": true, "/proc/1/root": true, "/sys": true, "/sys/fs/cgroup": true,
		"/run": true, "/var": true, "/var/run": true, "/var/run/docker.sock": true, "/run/docker.sock": true, "/run/docker/plugins/mcpnet.sock": true,
		"/srv/../run/docker.sock": true, "/home/me/.docker/run/docker.sock": true, "/run/user/1000/podman/podman.sock": true, "/run/user": true,
		"/run/podman": true, "/run/podman/podman.sock": true, "/run/containerd": true, "/run/containerd/containerd.sock": true,
		"/run/crio/crio.sock": true, "/run/k3s/containerd/containerd.sock": true, "/var/run/dbus": true, "/run/netns/mcp-secure": true,
		"/run/mcpnet": true, "/var/lib": true, "/var/lib/docker": true, "/var/lib/docker/volumes": true, "/var/lib/mcpnet/v2": true,
		"/etc": true, "/etc/cni/net.d": true, "/etc/docker/daemon.json": true, "/etc/shadow": true, "/dev": true, "/dev/sda": true, "/dev/mem": true,
		"/usr": true, "/usr/bin": true, "/lib64": true, "/boot/grub": true,

		"": false, "proc": false, "sysfs": false, "tmpfs": false, "a-volume": false, "run": false, "/srv": false, "/home/me/project": false,
		"/tmp": false, "/runs": false, "/process": false, "/etc/localtime": false, "/etc/ssl/certs": false, "/etc/passwd": false,
		"/usr/share/zoneinfo": false, "/dev/log": false, "/dev/snd": false, "/dev/shm": false, "/dev/random": false,
		"/var/lib/docker/volumes/data/_data": false, "/var/lib/docker/containers/0123/resolv.conf": false,
		"/var/lib/containers/storage/overlay-containers/0123/userdata/hosts": false, "/run/containers/storage/overlay-containers/0/userdata/run": false,
		"/run/containerd/io.containerd.grpc.v1.cri/sandboxes/0123/shm": false, "/var/lib/kubelet/pods/0/etc-hosts": false,
		"/proc/driver/nvidia/gpus/0000:01:00.0": false, "/proc/driver": true, "/run/secrets": false, "/srv/my-docker.sock": false,
	} {
		reason, bad := admission.WayOutOfMount(source)
		if bad != want || (reason == "") != !bad {
			t.Errorf("%q: %v %q", source, bad, reason)
		}
	}
}

func TestWayOutOfDevice(t *testing.T) {
	for device, want := range map[string]bool{
		"/dev": true, "/dev/mem": true, "/dev/sda": true, "/dev/sda1": true, "/dev/nvme0n1": true, "/dev/mapper/root": true, "/dev/dm-0": true,
		"/dev/../dev/vda": true, "/dev/disk/by-id/x": true, "/dev/vfio/vfio": true, "/dev/vsock": true, "/dev/vhost-vsock": true,
		"/dev/infiniband/uverbs0": true, "/dev/input/event0": true, "/dev/sg0": true, "/dev/bus/usb/001/002": true, "/dev/loop-control": true,

		"/dev/null": false, "/dev/kmsg": false, "/dev/fuse": false, "/dev/kvm": false, "/dev/net/tun": false, "/dev/dri/card0": false,
		"/dev/nvidia0": false, "/dev/snd/pcm": false, "/dev/ttyUSB0": false, "/dev/video0": false, "/dev/sgx_enclave": false, "/dev/hdmi": false,
	} {
		if reason, bad := admission.WayOutOfDevice(device); bad != want || bad && reason == "" {
			t.Errorf("%s: %v %q", device, bad, reason)
		}
	}
	for rule, want := range map[string]bool{
		"a *:* rwm": true, "a": false, "b 8:* rmw": true, "b 8:0 r": true, "c *:* rwm": true, "c 1:1 r": true, "c 1:2 r": true, "c 1:4 w": true,
		"c 1:* rwm": true, "b 8:0": true,
		"c 188:* rmw": false, "c 1:3 rwm": false, "": false,
	} {
		if reason, bad := admission.WayOutOfDeviceRule(rule); bad != want || bad && reason == "" {
			t.Errorf("%q: %v %q", rule, bad, reason)
		}
	}
}
