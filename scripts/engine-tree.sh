#!/bin/sh
# engine-tree.sh NAME...: makes the file trees in which tests run real engines,
# and the firewalls of hosts.
#
#   bookworm   Debian 12: Docker 20.10, containerd 1.6, Podman 4.3 with CNI
#   sid        Debian unstable: Docker 28.5, docker CLI, Compose, containerd 2.1,
#              Podman 5.8 with netavark and aardvark-dns
#   moby29     the sid tree with dockerd 29 built from source
#   firewalls  Debian 12: firewalld 1.3 with a system bus, ufw
#   firewalls-sid
#              Debian unstable: the same, firewalld 2
#
# A tree lies at ${MCPNET_CACHE:-/var/cache/mcpnet}/NAME and is made once: it is
# built beside its place and moved there when complete, so that whatever is
# there is whole. A tree from before it had all of its programs is made anew.
# Nothing in a tree is ever started by this script.
# MCPNET_MIRROR names a Debian mirror; without it debootstrap uses its own.
set -eu

CACHE=${MCPNET_CACHE:-/var/cache/mcpnet}
MOBY29=v2.0.0-beta.24
BASE=docker.io,nftables,iptables,runc,containerd,ca-certificates,iproute2
# conmon and what else Podman cannot be without, debootstrap adds; catatonit is
# the process that holds the namespaces of its pods.
PODMAN=podman,catatonit,containernetworking-plugins
# polkit, which firewalld needs, needs a logind; debootstrap does not find one.
FIREWALLS=firewalld,ufw,dbus,libpam-systemd,nftables,iptables,iproute2

say() { echo "engine-tree: $*" >&2; }
die() { say "$*"; exit 1; }

# programs NAME: what the tree of that name has to hold.
programs() {
	case $1 in
	firewalls*) echo usr/sbin/firewalld usr/bin/dbus-daemon usr/sbin/ufw ;;
	*) echo usr/sbin/dockerd usr/bin/docker ;;
	esac
	case $1 in bookworm | sid) echo usr/bin/containerd usr/bin/ctr usr/bin/podman usr/lib/cni/bridge ;; esac
	case $1 in sid) echo usr/lib/podman/netavark usr/lib/podman/aardvark-dns ;; esac
}

# whole NAME DIR: everything is there and debootstrap has cleaned up.
whole() {
	[ ! -d "$2/debootstrap" ] || return 1
	for program in $(programs "$1"); do
		[ -x "$2/$program" ] || return 1
	done
}

# debian SUITE PACKAGES TMP: a minimal Debian with the engine in it.
debian() {
	command -v debootstrap >/dev/null || die "debootstrap is missing: run scripts/deps.sh"
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r "$keyring" ] || die "$keyring is missing: run scripts/deps.sh"
	say "$1: debootstrap (about a minute; log: $CACHE/$1.log)"
	debootstrap --variant=minbase --keyring="$keyring" --include="$2" \
		"$1" "$3" ${MCPNET_MIRROR:+"$MCPNET_MIRROR"} >"$CACHE/$1.log" 2>&1 || {
		tail -n 20 "$CACHE/$1.log" >&2
		die "$1: debootstrap did not finish"
	}
	rm -rf "$3/var/cache/apt/archives" "$3/var/lib/apt/lists"
}

# moby29 TMP: dockerd 29 in a copy of the sid tree, whose runc is new enough.
# The copy is made of hard links; only what was built here is replaced. Built
# from source dockerd does not know its version, and tests ask for it.
moby29() {
	"$0" sid
	command -v go >/dev/null || die "moby29: go is missing"
	say "moby29: go install dockerd@$MOBY29 (about three minutes)"
	GOFLAGS='' CGO_ENABLED=0 GOBIN="$1.bin" go install -trimpath \
		-ldflags "-s -w -X github.com/moby/moby/v2/dockerversion.Version=29.0.0-${MOBY29#*-}" \
		"github.com/moby/moby/v2/cmd/dockerd@$MOBY29" \
		"github.com/moby/moby/v2/cmd/docker-proxy@$MOBY29"
	cp -al "$CACHE/sid" "$1"
	for program in dockerd docker-proxy; do
		rm -f "$1/usr/sbin/$program"
		mv "$1.bin/$program" "$1/usr/sbin/$program"
	done
	rmdir "$1.bin"
}

# clear DIR: removes what an interrupted build left, mounts of debootstrap first.
clear() {
	grep -o " $1[^ ]*" /proc/mounts | sort -r | while read -r mount; do umount "$mount"; done
	rm -rf --one-file-system "$1"
}

# make_tree NAME: builds one tree unless it is there; the caller holds the lock.
make_tree() {
	tree=$CACHE/$1 tmp=$CACHE/.$1.tmp old=$CACHE/.$1.old
	if whole "$1" "$tree"; then
		say "$1: present"
		return
	fi
	clear "$tmp"
	rm -rf "$tmp.bin"
	case $1 in
	bookworm) debian bookworm "$BASE,$PODMAN" "$tmp" ;;
	sid) debian sid "$BASE,$PODMAN,netavark,aardvark-dns,docker-cli,docker-compose" "$tmp" ;;
	moby29) moby29 "$tmp" ;;
	firewalls) debian bookworm "$FIREWALLS" "$tmp" ;;
	firewalls-sid) debian sid "$FIREWALLS" "$tmp" ;;
	esac
	whole "$1" "$tmp" || die "$1: built, but without one of $(programs "$1" | tr '\n' ' ')"
	# An older tree serves until the new one is ready.
	clear "$old"
	[ ! -e "$tree" ] || mv "$tree" "$old"
	mv "$tmp" "$tree"
	clear "$old"
	say "$1: ready ($(du -sh "$tree" | cut -f1))"
}

[ $# -gt 0 ] || die "usage: engine-tree.sh bookworm|sid|moby29|firewalls|firewalls-sid ..."
[ "$(id -u)" -eq 0 ] || die "needs root (a tree holds devices and foreign owners)"
mkdir -p "$CACHE"
for name; do
	case $name in
	bookworm | sid | moby29 | firewalls | firewalls-sid) ;;
	*) die "no tree called $name: bookworm, sid, moby29, firewalls or firewalls-sid" ;;
	esac
	# One lock per tree: two builds of the same one wait, others go on.
	(
		flock 9
		make_tree "$name"
	) 9>"$CACHE/.$name.lock"
done
