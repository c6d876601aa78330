#!/bin/sh
# host.sh: a disk with a whole Debian host, for virtual machines: systemd, Docker,
# firewalld, ufw and nftables.service, none of which is enabled but Docker.
#
# It lies at ${MCPNET_CACHE:-/var/cache/mcpnet}/host-SUITE with its kernel and is
# made once. Nothing in it is ever started on this machine. What it runs when it
# has booted is the repository's scripts/vm/host-tests.sh, mounted at /repo.
# MCPNET_MIRROR names a Debian mirror; without it debootstrap uses its own.
set -eu

CACHE=${MCPNET_CACHE:-/var/cache/mcpnet}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
PACKAGES=systemd-sysv,libpam-systemd,dbus,udev,kmod,iproute2,iptables,nftables,ca-certificates,busybox-static,linux-image-amd64,initramfs-tools
PACKAGES=$PACKAGES,docker.io,docker-cli,runc,containerd,firewalld,ufw,python3-nftables

say() { echo "host: $*" >&2; }
die() { say "$*"; exit 1; }

# unit NAME: the unit that runs the tests, with the console for its output.
test_unit() {
	cat <<-'END'
		[Unit]
		Description=tests of mcpnet
		After=docker.service
		RequiresMountsFor=/repo
		[Service]
		ExecStart=/bin/sh /repo/scripts/vm/host-tests.sh
		StandardOutput=tty
		StandardError=tty
		TTYPath=/dev/ttyS0
		TimeoutStartSec=infinity
		[Install]
		WantedBy=multi-user.target
	END
}

# settle TREE: what a first boot would ask for, and patience with a slow machine.
settle() {
	test_unit >"$1/etc/systemd/system/mcpnet-test.service"
	mkdir -p "$1/repo" "$1/etc/systemd/system.conf.d"
	printf '[Manager]\nDefaultTimeoutStartSec=600s\nDefaultDeviceTimeoutSec=600s\n' >"$1/etc/systemd/system.conf.d/slow.conf"
	printf '/dev/vda / ext4 defaults 0 1\nrepo /repo 9p trans=virtio,version=9p2000.L,ro 0 0\n' >"$1/etc/fstab"
	echo vm >"$1/etc/hostname"
	printf '127.0.0.1 localhost vm\n' >"$1/etc/hosts"
	printf 'nameserver 203.0.113.53\n' >"$1/etc/resolv.conf"
	systemctl --root="$1" -q enable mcpnet-test docker
	systemctl --root="$1" -q disable firewalld ufw nftables
	systemctl --root="$1" -q mask apt-daily.timer apt-daily-upgrade.timer serial-getty@ttyS0.service systemd-networkd-wait-online.service
}

# make SUITE DIR: the disk, its kernel and what that starts with.
make() {
	tree=$2.tree
	rm -rf --one-file-system "$tree" "$2"
	mkdir -p "$2"
	say "$1: debootstrap (a few minutes; log: $CACHE/host-$1.log)"
	debootstrap --variant=minbase --keyring="$KEYRING" --include="$PACKAGES" "$1" "$tree" ${MCPNET_MIRROR:+"$MCPNET_MIRROR"} \
		>"$CACHE/host-$1.log" 2>&1 || { tail -n 20 "$CACHE/host-$1.log" >&2; die "$1: debootstrap did not finish"; }
	rm -rf "$tree/var/cache/apt/archives" "$tree/var/lib/apt/lists"
	settle "$tree"
	cp "$tree"/boot/vmlinuz-* "$2/vmlinuz"
	cp "$tree"/boot/initrd.img-* "$2/initrd"
	mkfs.ext4 -q -d "$tree" -L root "$2/disk" 6G
	rm -rf --one-file-system "$tree"
}

suite=${1:-trixie}
mkdir -p "$CACHE"
exec 9>"$CACHE/.host-$suite.lock"
flock 9
if [ ! -d "$CACHE/host-$suite" ]; then
	make "$suite" "$CACHE/.host-$suite.tmp"
	mv "$CACHE/.host-$suite.tmp" "$CACHE/host-$suite"
fi
