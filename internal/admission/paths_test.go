package admission_test

import (
	"strings"
	"testing"

	"github.com/mcpnet/mcpnet/internal/admission"
)

// TestWayOut: what lets a container reach past its network is known however its path is written, and what
// engines mount into every container is none of it.
func TestWayOut(t *testing.T) {
	for source, want := range map[string]bool{
		"/": true, "//": true, "/srv/..": true, "/proc": true, "/proc/": true, "/proc/1/root": true, "/sys": true, "/sys/fs/cgroup": true,
		"/run": true, "/var": true, "/var/run": true, "/var/run/docker.sock": true, "/run/docker.sock": true, "/run/docker/plugins/mcpnet.sock": true,
		"/srv/../run/docker.sock": true, "/home/me/.docker/run/docker.sock": true, "/run/user/1000/podman/podman.sock": true, "/run/user": true,
		"/run/podman": true, "/run/podman/podman.sock": true, "/run/containerd": true, "/run/containerd/containerd.sock": true,
		"/run/crio/crio.sock": true, "/run/k3s/containerd/containerd.sock": true, "/var/run/dbus": true, "/run/netns/mcp-secure": true,
		"/run/mcpnet": true, "/var/lib": true, "/var/lib/docker": true, "/var/lib/docker/volumes": true, "/var/lib/mcpnet/v2": true,
		"/etc": true, "/etc/cni/net.d": true, "/etc/docker/daemon.json": true, "/etc/shadow": true, "/dev": true, "/dev/sda": true, "/dev/mem": true,
		"/usr": true, "/usr/bin": true, "/lib64": true, "/boot/grub": true, "/root": true, "/root/.ssh/id_rsa": true,
		"/run/containerd/s/0123": true, "/var/lib/lxd/unix.socket": true, "/var/lib/incus": true, "/var/snap/lxd/common/lxd/unix.socket": true,
		"/run/snapd.socket": true, "/run/systemd/private": true, "/var/run/dbus/system_bus_socket": true, "/run/user/0/bus": true,
		"/etc/systemd/system": true, "/etc/cron.d/x": true, "/var/lib/rancher/k3s/server": true, "/var/lib/rancher": true,

		"": false, "proc": false, "sysfs": false, "tmpfs": false, "a-volume": false, "run": false, "/srv": false, "/home/me/project": false,
		"/tmp": false, "/runs": false, "/process": false, "/etc/localtime": false, "/etc/ssl/certs": false, "/etc/passwd": false,
		"/usr/share/zoneinfo": false, "/dev/log": false, "/dev/snd": false, "/dev/shm": false, "/dev/random": false,
		"/var/lib/docker/volumes/data/_data": false, "/var/lib/docker/containers/0123/resolv.conf": false,
		"/var/lib/containers/storage/overlay-containers/0123/userdata/hosts": false, "/run/containers/storage/overlay-containers/0/userdata/run": false,
		"/run/containerd/io.containerd.grpc.v1.cri/sandboxes/0123/shm": false, "/var/lib/kubelet/pods/0/etc-hosts": false,
		"/root/project": false, "/home": false, "/usr/local/bin": false, "/usr/bin/git": false, "/usr/lib/systemd/system": false, "/usr/share": false,
		"/etc/cron.daily": false, "/var/spool/cron": false, "/etc/default": false, "/opt": false, "/run/user/1000/bus": false,
		"/var/lib/rancher/k3s/storage/pvc-1":    false,
		"/proc/driver/nvidia/gpus/0000:01:00.0": false, "/proc/driver": true, "/run/secrets": false, "/srv/my-docker.sock": false,
	} {
		reason, bad := admission.Mount{Source: source, ReadOnly: true}.WayOut()
		if bad != want || (reason == "") != !bad {
			t.Errorf("%q: %v %q", source, bad, reason)
		}
	}
}

// TestWayOutByWriting: a place from which root runs programs is a way out for who may write there, and for nobody else.
// What users give servers to write is none.
func TestWayOutByWriting(t *testing.T) {
	for source, want := range map[string]bool{
		"/usr/local/bin": true, "/usr/local/bin/tool": true, "/usr/bin/git": true, "/bin/sh": true, "/lib64/ld-linux-x86-64.so.2": true,
		"/usr/lib/systemd/system": true, "/usr/share": true, "/usr/libexec/cni": true, "/opt/cni/bin": true, "/opt": true,
		"/etc/cron.daily": true, "/etc/cron.hourly/x": true, "/var/spool/cron": true, "/var/spool": true, "/etc/ld.so.preload": true,
		"/etc/passwd": true, "/etc/pam.d": true, "/etc/profile.d": true, "/etc/default/docker": true, "/root/.bashrc": true,
		"/root/.config/systemd/user": true, "/var/lib/dpkg/info": true, "/run/runc": true,

		"/root/project": false, "/home": false, "/home/me": false, "/home/me/project": false, "/srv": false, "/opt/app": false, "/tmp": false, "/mnt": false,
		"/etc/localtime": false, "/etc/timezone": false, "/etc/hosts": false, "/etc/resolv.conf": false, "/etc/hostname": false, "/etc/ssl/certs": false,
		"/usr/share/zoneinfo": false, "/usr/local/share/data": false, "/usr/src": false, "/var/log": false, "/var/www": false, "/var/tmp": false,
		"/var/lib/docker/containers/0123/hosts": false, "/var/lib/docker/volumes/data/_data": false, "/var/lib/postgresql": false,
		"/var/lib/kubelet/pods/0/etc-hosts": false, "/dev/shm": false, "data": false,
	} {
		reason, bad := admission.Mount{Source: source}.WayOut()
		if bad != want || bad && !strings.HasSuffix(reason, " (mount it read-only)") {
			t.Errorf("%q: %v %q", source, bad, reason)
		}
		if reason, bad := (admission.Mount{Source: source, ReadOnly: true}).WayOut(); bad {
			t.Errorf("%q, read-only: %q", source, reason)
		}
	}
}

func TestWayOutOfDevice(t *testing.T) {
	for device, want := range map[string]bool{
		"/dev": true, "/dev/mem": true, "/dev/sda": true, "/dev/sda1": true, "/dev/nvme0n1": true, "/dev/mapper/root": true, "/dev/dm-0": true,
		"/dev/../dev/vda": true, "/dev/disk/by-id/x": true, "/dev/vfio/vfio": true, "/dev/vsock": true, "/dev/vhost-vsock": true,
		"/dev/uhid": true, "/dev/hidraw3": true, "/dev/ng0n1": true, "/dev/bsg/0:0:0:0": true, "/dev/mtd0ro": true, "/dev/mtdblock0": true,
		"/dev/iommu": true, "/dev/char/1:1": true, "/dev/char/10:239": true, "/dev/char": true, "/dev/block/8:0": true, "/dev/usb/hiddev0": true,
		"/dev/cpu/0/msr": true, "/dev/usbmon1": true, "/dev/vcsa1": true, "/dev/zram0": true, "/dev/st0": true, "/dev/xen/privcmd": true,
		"/dev/infiniband/uverbs0": true, "/dev/input/event0": true, "/dev/sg0": true, "/dev/bus/usb/001/002": true, "/dev/loop-control": true,

		"/dev/char/1:3": false, "/dev/char/188:0": false, "/dev/usb/lp0": false, "/dev/stdin": false, "/dev/fd": false, "/dev/cpu_dma_latency": false,
		"/dev/null": false, "/dev/kmsg": false, "/dev/fuse": false, "/dev/kvm": false, "/dev/net/tun": false, "/dev/dri/card0": false,
		"/dev/nvidia0": false, "/dev/snd/pcm": false, "/dev/ttyUSB0": false, "/dev/video0": false, "/dev/sgx_enclave": false, "/dev/hdmi": false,
	} {
		if reason, bad := admission.WayOutOfDevice(device); bad != want || bad && reason == "" {
			t.Errorf("%s: %v %q", device, bad, reason)
		}
	}
	for rule, want := range map[string]bool{
		"a *:* rwm": true, "a": false, "b 8:* rmw": true, "b 8:0 r": true, "c *:* rwm": true, "c 1:1 r": true, "c 1:2 r": true, "c 1:4 w": true, "b 8:0": true, "c 1:* rwm": true,
		"c 189:* rmw": true, "c 189:3 r": true, "c 10:* rwm": true, "c 10:223 w": true, "c 13:64 r": true, "c 21:* r": true, "c 90:0 r": true,
		"c 01:1 r": true, "c 180:96 r": true, "c 180:* rwm": true,
		// What engines permit every container, and users ordinary ones.
		"c *:* m": false, "b *:* m": false, "c 1:5 rwm": false, "c 1:7 rwm": false, "c 1:8 rwm": false, "c 1:9 rwm": false, "c 5:0 rwm": false,
		"c 5:1 rwm": false, "c 5:2 rwm": false, "c 136:* rwm": false, "c 10:200 rwm": false, "c 10:229 rwm": false, "c 10:232 rwm": false,
		"c 116:* rwm": false, "c 226:* rwm": false, "c 81:* rwm": false, "c 195:* rwm": false, "c 166:* rwm": false, "c 180:0 rw": false,
		"c 188:* rmw": false, "c 1:3 rwm": false, "c x:y rwm": false, "": false,
	} {
		if reason, bad := admission.WayOutOfDeviceRule(rule); bad != want || bad && reason == "" {
			t.Errorf("%q: %v %q", rule, bad, reason)
		}
	}
}
